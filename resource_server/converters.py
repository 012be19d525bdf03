"""Parts of paths, of which each item has exactly one spelling.

Werkzeug takes `01`, digits of other scripts and upper-case UUIDs as well. Caches, logs and rules of
proxies then know one item under several addresses. It also converts numbers of any length.
"""

import re
from typing import TYPE_CHECKING, Any

from werkzeug.routing import IntegerConverter, UUIDConverter

if TYPE_CHECKING:
    from flask import Flask

# Up to 19 digits, which BIGINT has. A longer number leads nowhere: 404 for any method.
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
INTEGER = re.compile(_NUMBER, re.ASCII)


class StrictIntegerConverter(IntegerConverter):
    """`<int:…>`: ASCII digits, without zeros in front."""

    regex = _NUMBER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.fixed_digits:
            self.regex = f"[0-9]{{{self.fixed_digits}}}"

    @property
    def signed_regex(self) -> str:
        """The pattern of `<int(signed=True):…>`."""
        return r"(?:0|-?[1-9][0-9]{0,18})"


class StrictUUIDConverter(UUIDConverter):
    """`<uuid:…>`: in lower case, as Cognito writes a `sub`."""

    regex = r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"


def register(app: "Flask") -> None:
    """Use them for every route of an app."""
    strict: dict[str, Any] = {"int": StrictIntegerConverter, "uuid": StrictUUIDConverter}
    app.url_map.converters = {**app.url_map.converters, **strict}
