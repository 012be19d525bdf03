"""Claims of the pool's own tokens: whose they are, what for, for how long.

All are signed with the pool's key, lest a bad signature be the reason for the refusal.
"""

import time
from collections.abc import Callable

from resource_server.testing.forgeries import attacker
from resource_server.testing.forgeries.draft import ABSENT, Draft
from resource_server.testing.forgeries.forgery import INSUFFICIENT, Forgery, Severity
from resource_server.testing.pool import CognitoPool

_HOUR = 3600  # seconds; more than any leeway
_GUIDE = "Cognito guide, verifying JSON web tokens"
_ISSUER = f"RFC 7519 section 4.1.1; {_GUIDE}"
_EXPIRY = f"RFC 7519 section 4.1.4; {_GUIDE}"
_NO_ISSUER = "It does not check `iss`: a token of another pool is as good as one of this pool."
_PART_OF_ISSUER = "It compares a part of `iss`, or in another way than byte by byte."
_NO_USE = "It does not check `token_use`: what was made to tell a client who signed in opens it."
_NO_CLIENT = "It does not check `client_id`: every app of the pool may call it, trusted or not."
_PART_OF_CLIENT = "It looks for a part of `client_id`, or for it in a part of the list."
_NO_EXPIRY = "It does not check `exp`: a stolen token serves for ever."
_ODD_EXPIRY = "It takes an `exp` that is no number of seconds, or stumbles over it."


def _claim(
    claim: str, severity: Severity, flaw: str, source: str
) -> Callable[[str, Callable[[Draft], object]], Forgery]:
    """Return what makes a forgery out of a name and the claim's value."""

    def forgery(name: str, value: Callable[[Draft], object]) -> Forgery:
        return Forgery(name, severity, flaw, source, lambda d: d.claiming({claim: value(d)}))

    return forgery


_no_issuer = _claim("iss", Severity.HIGH, _NO_ISSUER, _ISSUER)
_bad_issuer = _claim("iss", Severity.MEDIUM, _PART_OF_ISSUER, _ISSUER)
_lax_issuer = _claim("iss", Severity.LOW, _PART_OF_ISSUER, _ISSUER)
_no_use = _claim("token_use", Severity.HIGH, _NO_USE, _GUIDE)
_no_client = _claim("client_id", Severity.HIGH, _NO_CLIENT, _GUIDE)
_part_of_client = _claim("client_id", Severity.HIGH, _PART_OF_CLIENT, _GUIDE)
_no_expiry = _claim("exp", Severity.HIGH, _NO_EXPIRY, _EXPIRY)
_odd_expiry = _claim("exp", Severity.LOW, _ODD_EXPIRY, _EXPIRY)


def _moved(pool: CognitoPool) -> str:
    """Return the issuer of a pool of the same name in another region."""
    region = pool.pool_id.partition("_")[0]
    return pool.issuer.replace(region, "us-west-2" if region == "us-east-1" else "us-east-1")


ISSUERS = [
    _no_issuer("iss-missing", lambda _: ABSENT),
    _no_issuer("iss-other-pool", lambda d: attacker.other_pool(d.pool).issuers[0]),
    _no_issuer("iss-other-region", lambda d: _moved(d.pool)),
    _no_issuer("iss-null", lambda _: None),
    _no_issuer("iss-empty", lambda _: ""),
    _bad_issuer("iss-longer", lambda d: f"{d.pool.issuer}.attacker.example"),
    _bad_issuer("iss-within-another", lambda d: f"https://attacker.example/{d.pool.issuer}"),
    _bad_issuer("iss-prefix", lambda d: d.pool.issuer[:-1]),
    _bad_issuer("iss-pool-id-alone", lambda d: d.pool.pool_id),
    _lax_issuer("iss-list", lambda d: [d.pool.issuer, "https://attacker.example"]),
    _lax_issuer("iss-trailing-slash", lambda d: f"{d.pool.issuer}/"),
    _lax_issuer("iss-upper-case-scheme", lambda d: d.pool.issuer.replace("http", "HTTP", 1)),
]

USES = [
    Forgery(
        "id-token",
        Severity.HIGH,
        _NO_USE,
        _GUIDE,
        lambda d: d.pool.id_token(username=d.claims.get("username", "ada"), sub=d.claims["sub"]),
        statuses=INSUFFICIENT,  # it has no scope either
    ),
    _no_use("token-use-id", lambda _: "id"),
    _no_use("token-use-refresh", lambda _: "refresh"),
    _no_use("token-use-missing", lambda _: ABSENT),
    _no_use("token-use-null", lambda _: None),
    _no_use("token-use-empty", lambda _: ""),
    _claim("token_use", Severity.LOW, "It takes a list for `token_use`, or stumbles.", _GUIDE)(
        "token-use-list", lambda _: ["id", "access"]
    ),
]

CLIENTS = [
    _no_client("other-client", lambda _: "attacker0client0of0the0pool"),
    _no_client("client-id-missing", lambda _: ABSENT),
    _no_client("client-id-null", lambda _: None),
    _part_of_client("client-id-empty", lambda _: ""),
    _part_of_client("client-id-longer", lambda d: f"{d.pool.client_id}0"),
    _part_of_client("client-id-prefix", lambda d: d.pool.client_id[:-1]),
    _claim("client_id", Severity.LOW, "It takes a list for `client_id`, or stumbles.", _GUIDE)(
        "client-id-list", lambda d: ["attacker", d.pool.client_id]
    ),
    Forgery(
        "client-in-aud",
        Severity.HIGH,
        "It looks for the client in `aud`, which clients can choose, instead of `client_id`.",
        _GUIDE,
        lambda d: d.claiming(client_id="attacker", aud=d.pool.client_id),
    ),
    Forgery(
        "aud-other",
        Severity.MEDIUM,
        "It takes a token that is bound to another API.",
        "RFC 7519 section 4.1.3; RFC 8725 section 3.9",
        lambda d: d.claiming(aud="https://another-api.example"),
    ),
]

TIMES = [
    _no_expiry("expired", lambda _: int(time.time()) - _HOUR),
    _no_expiry("exp-zero", lambda _: 0),
    _no_expiry("exp-negative", lambda _: -1),
    _no_expiry("exp-past-fraction", lambda _: time.time() - _HOUR),
    _no_expiry("exp-past-text", lambda _: str(int(time.time()) - _HOUR)),
    Forgery(
        "nbf-future",
        Severity.MEDIUM,
        "It takes a token before its time.",
        "RFC 7519 section 4.1.5",
        lambda d: d.claiming(nbf=int(time.time()) + _HOUR, exp=int(time.time()) + 2 * _HOUR),
    ),
    Forgery(
        "exp-missing",
        Severity.LOW,
        "It takes a token that never ends.",
        _EXPIRY,
        lambda d: d.claiming(exp=ABSENT),
    ),
    _odd_expiry("exp-null", lambda _: None),
    _odd_expiry("exp-text", lambda _: str(int(time.time()) + _HOUR)),
    _odd_expiry("exp-words", lambda _: "never"),
    _odd_expiry("exp-true", lambda _: True),
    _odd_expiry("exp-list", lambda _: [int(time.time()) + _HOUR]),
    _odd_expiry("exp-nan", lambda _: float("nan")),
    _odd_expiry("exp-infinity", lambda _: float("inf")),
    Forgery(
        "nbf-text",
        Severity.LOW,
        "It takes an `nbf` that is no number of seconds, or stumbles over it.",
        "RFC 7519 section 4.1.5",
        lambda d: d.claiming(nbf="soon"),
    ),
    Forgery(
        "iat-future",
        Severity.LOW,
        "It takes a token that will be issued in an hour.",
        "RFC 7519 section 4.1.6",
        lambda d: d.claiming(iat=int(time.time()) + _HOUR, exp=int(time.time()) + 2 * _HOUR),
    ),
    Forgery(
        "sub-missing",
        Severity.LOW,
        "It takes a token of nobody.",
        "RFC 7519 section 4.1.2",
        lambda d: d.claiming(sub=ABSENT),
    ),
]

CLAIMS = [*ISSUERS, *USES, *CLIENTS, *TIMES]
