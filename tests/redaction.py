"""Watches every record that the suite logs for every secret that passed through it.

What is a secret is read off the requests and answers of all Flask apps of the process, the
emulator's among them, by the names of fields; anything with the shape of a signed token is one,
wherever it came from. Nothing has to be declared, so a test of tomorrow is watched as well.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, request
from flask.signals import request_finished

from resource_server import logs

_FIELDS = {
    "access_token",
    "client_secret",
    "code",
    "confirmation_code",
    "id_token",
    "password",
    "previous_password",
    "refresh_token",
    "secret_code",
    "session",
}
_ANSWERS = "responses"
"""Of a challenge: each is a password or a code."""
_SIGNED = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", re.ASCII)
_LEAST = 6
"""Fewer characters occur everywhere."""


class SecretWatch(logging.Handler):
    """Renders each record, and keeps it beside the secrets of the current test."""

    def __init__(self, known: Iterator[str] | tuple[str, ...] = ()) -> None:
        super().__init__(logging.NOTSET)
        self._known = frozenset(known)
        self.reset()

    def start(self) -> None:
        """Watch all loggers and all Flask apps from now on."""
        logging.getLogger().addHandler(self)
        request_finished.connect(self._note_exchange)

    def stop(self) -> None:
        """Watch no longer."""
        logging.getLogger().removeHandler(self)
        request_finished.disconnect(self._note_exchange)

    def reset(self) -> None:
        """Begin with nothing but the secrets that all tests have."""
        self._secrets = set(self._known)
        self._records: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as text: message, fields, and trace; moto's are no part of the service."""
        if not record.name.startswith("moto"):
            text = f"{_FORMATTER.format(record)} {dict(logs.fields_of(record))}"
            self._records.append((record.name, text))

    def leaks(self) -> list[str]:
        """Say which loggers let a secret slip, without repeating it."""
        words = "|".join(map(re.escape, sorted(self._secrets, key=len, reverse=True)))
        secret = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else _SIGNED
        found = []
        for name, text in list(self._records):
            if secret.search(text) or _SIGNED.search(text):
                hidden = secret.sub("<secret>", _SIGNED.sub("<token>", text))
                found.append(f"{name}: {hidden[:500]}")
        return found

    def _note_exchange(self, _app: Flask, response: Response, **_: object) -> None:
        scheme, _space, credentials = request.headers.get("Authorization", "").partition(" ")
        self._note(credentials if scheme.lower() == "bearer" else "")
        # Only what the view read: to read now could wait for a body that never comes.
        read = vars(request)
        self._note_fields(read.get("form"))
        self._note_fields((read.get("_cached_json") or (None,))[0])
        if response.is_json and not response.is_streamed:
            self._note_fields(response.get_json(silent=True))

    def _note_fields(self, said: Any) -> None:
        if not isinstance(said, Mapping):
            return
        for name in _FIELDS & said.keys():
            self._note(said[name])
        answers = said.get(_ANSWERS)
        for value in answers.values() if isinstance(answers, Mapping) else ():
            self._note(value)

    def _note(self, value: object) -> None:
        if isinstance(value, str) and len(value) >= _LEAST:
            self._secrets.add(value)


_FORMATTER = logging.Formatter()
