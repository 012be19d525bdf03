"""Signatures: somebody else's, another token's, none."""

import hashlib

from resource_server.testing.forgeries import attacker
from resource_server.testing.forgeries.draft import Draft, encoded, unsigned
from resource_server.testing.forgeries.forgery import Forgery, Severity

_UNVERIFIED = "It reads tokens without verifying their signature: anybody can write one."
_RULE = "RFC 7515 section 5.2"


def _other_pool(draft: Draft) -> str:
    return draft.token(
        draft.header(kid=attacker.kid()),
        {**draft.claims, "iss": attacker.other_pool(draft.pool).issuers[0]},
        attacker.sign,
    )


def _with_signature(draft: Draft, signature: bytes) -> str:
    return ".".join((*draft.parts[:2], encoded(signature)))


def _with_one_bit_changed(draft: Draft) -> str:
    header, payload, signature = draft.parts
    # Any of the first characters is good for six bits: no decoder reads it as it was.
    return f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _somebody_else(draft: Draft) -> str:
    header, _, signature = draft.parts
    other = draft.token(claims={**draft.claims, "sub": "the-victim", "username": "the-victim"})
    return f"{header}.{other.split('.')[1]}.{signature}"


def _under_another_header(draft: Draft) -> str:
    other = draft.token(draft.header(typ="JWT"), sign=unsigned)
    return ".".join((other.split(".")[0], *draft.parts[1:]))


SIGNATURES = [
    Forgery(
        "other-key",
        Severity.CRITICAL,
        _UNVERIFIED,
        _RULE,
        lambda d: d.token(sign=attacker.sign),
    ),
    Forgery(
        "unknown-key-id",
        Severity.CRITICAL,
        "It takes a token whose key the pool does not have.",
        "Cognito guide, verifying JSON web tokens",
        lambda d: d.token(d.header(kid=attacker.kid()), sign=attacker.sign),
    ),
    Forgery(
        "other-pool",
        Severity.CRITICAL,
        "It takes the tokens of any pool, or looks for keys where the token's own `iss` says.",
        "Cognito guide, verifying JSON web tokens; RFC 8725 section 3.8",
        _other_pool,
    ),
    Forgery(
        "no-signature",
        Severity.CRITICAL,
        _UNVERIFIED,
        _RULE,
        lambda d: d.token(sign=unsigned),
    ),
    Forgery(
        "payload-changed",
        Severity.CRITICAL,
        "It takes another payload under the signature of a genuine token.",
        _RULE,
        _somebody_else,
    ),
    Forgery(
        "header-changed",
        Severity.CRITICAL,
        "Its signature check leaves the header out.",
        _RULE,
        _under_another_header,
    ),
    Forgery(
        "signature-one-bit-off",
        Severity.CRITICAL,
        "Its signature check is none, or is satisfied by a part of the signature.",
        _RULE,
        _with_one_bit_changed,
    ),
    Forgery(
        "signature-cut-short",
        Severity.CRITICAL,
        "Its signature check is satisfied by a part of the signature.",
        "RFC 8017 section 8.2.2",
        lambda d: d.genuine[:-16],
    ),
    Forgery(
        "signature-of-zeros",
        Severity.CRITICAL,
        "Its signature check takes a number that is a signature of nothing.",
        "RFC 8017 section 8.2.2",
        lambda d: _with_signature(d, bytes(256)),
    ),
    Forgery(
        "signature-is-a-hash",
        Severity.CRITICAL,
        "It takes a checksum, which anybody can compute, for a signature.",
        _RULE,
        lambda d: d.token(sign=lambda data: hashlib.sha256(data).digest()),
    ),
    Forgery(
        "signature-is-text",
        Severity.CRITICAL,
        "Its signature check does not look at the signature.",
        _RULE,
        lambda d: ".".join((*d.parts[:2], "unsigned")),
    ),
]
