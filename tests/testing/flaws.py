"""Verifiers with one flaw each, and the attacks that each of them lets in."""

from collections.abc import Callable, Iterable
from typing import Any

from resource_server.testing.forgeries import FORGERIES, Severity
from tests.testing.faulty_signatures import (
    any_of_rsa,
    believed,
    brought_along,
    certificate_brought_along,
    confused,
    fetched,
    from_a_database,
    from_a_file,
)
from tests.testing.verifiers import (
    SCOPE,
    Verifier,
    taken_apart,
)


def named(*prefixes: str, but: Iterable[str] = ()) -> set[str]:
    """Return the attacks that are sent by default and whose names begin so."""
    return {
        name
        for name, forgery in FORGERIES.items()
        if name.startswith(prefixes) and forgery.severity > Severity.LOW and name not in but
    }


def skipped(*_: object) -> bool:
    """Look at nothing."""
    return True


# Claims.


def client_or_audience(verifier: Verifier, claims: dict[str, Any]) -> bool:
    """Look for the client in `aud` first, as for ID tokens."""
    return claims.get("aud", claims.get("client_id")) == verifier.pool.client_id


def words(claims: dict[str, Any], separators: str = " ") -> set[str]:
    """Split `scope` at each of these characters."""
    scope = claims.get("scope", "")
    for separator in separators:
        scope = scope.replace(separator, " ")
    return set(scope.split())


NEEDED = set(SCOPE.split())
ISSUERS = named("iss-")
CLIENTS = {"other-client", "client-in-aud"} | named("client-")
EXPIRIES = {"expired"} | named("exp-")
SCOPES = named("scope-")

# In the names of the pieces they replace, and with what they let in.
FLAWS: dict[str, tuple[dict[str, Callable[..., Any]], set[str]]] = {
    "skips the issuer": ({"issuer": skipped}, ISSUERS),
    "wants the beginning of the issuer": (
        {"issuer": lambda v, c: str(c.get("iss")).startswith(v.pool.issuer)},
        {"iss-longer"},
    ),
    "wants the issuer somewhere": (
        {"issuer": lambda v, c: v.pool.issuer in str(c.get("iss"))},
        {"iss-longer", "iss-within-another"},
    ),
    "looks for the issuer within the pool's": (
        {"issuer": lambda v, c: c.get("iss") is not None and c["iss"] in v.pool.issuer},
        {"iss-empty", "iss-prefix", "iss-pool-id-alone"},
    ),
    "skips the client": ({"client": skipped}, CLIENTS),
    "looks for the client in a text": (
        {
            "client": lambda v, c: (
                c.get("client_id") is not None and c["client_id"] in v.pool.client_id
            )
        },
        {"client-id-empty", "client-id-prefix"},
    ),
    "wants the client somewhere": (
        {"client": lambda v, c: v.pool.client_id in str(c.get("client_id"))},
        {"client-id-longer"},
    ),
    "takes the audience for the client": ({"client": client_or_audience}, {"client-in-aud"}),
    "skips the audience": ({"audience": skipped}, {"aud-other"}),
    "skips token_use": ({"use": skipped}, named("token-use-")),
    "skips the expiry": ({"expiry": skipped}, EXPIRIES),
    "skips nbf": ({"not_before": skipped}, {"nbf-future"}),
    "skips scopes": ({"scope": skipped}, SCOPES),
    "looks for scopes in a text": (
        {"scope": lambda _, c: all(word in c.get("scope", "") for word in NEEDED)},
        {"scope-longer", "scope-within", "scope-comma-joined"},
    ),
    "is content with one scope": (
        {"scope": lambda _, c: bool(words(c) & NEEDED)},
        {"scope-lacks-first", "scope-lacks-last"},
    ),
    "is content with the beginning of scopes": (
        {"scope": lambda _, c: all(any(n.startswith(w) for w in words(c)) for n in NEEDED)},
        {"scope-prefix"},
    ),
    "splits scopes at commas": (
        {"scope": lambda _, c: words(c, " ,") >= NEEDED},
        {"scope-comma-joined"},
    ),
    "takes scopes in any case": (
        {"scope": lambda _, c: {word.lower() for word in words(c)} >= NEEDED},
        {"scope-other-case"},
    ),
    "takes groups for scopes": (
        {"scope": lambda _, c: words(c) | set(c.get("cognito:groups", ())) >= NEEDED},
        {"scope-as-group"},
    ),
    "believes alg none": (
        {"signature": believed},
        named("alg-", but={"alg-none-with-signature"}),
    ),
    "takes the public key for a secret": ({"signature": confused}, named("hs")),
    "lets the token choose the algorithm": (
        {"signature": any_of_rsa},
        {"rs384", "rs512", "ps256"},
    ),
    "verifies with the token's own key": (
        {"signature": brought_along},
        named("jwk") | {"es256-with-jwk"},
    ),
    "verifies with the token's own certificate": (
        {"signature": certificate_brought_along},
        {"x5c"},
    ),
    "follows the token's addresses": (
        {"signature": fetched, "issuer": skipped},
        {"jku", "x5u", "other-pool"} | ISSUERS,
    ),
    "reads keys from files": (
        {"signature": from_a_file},
        {"kid-path-traversal"},
    ),
    "looks keys up with a query": ({"signature": from_a_database}, {"kid-sql"}),
    "reads what has too many parts": ({"read": taken_apart}, {"four-parts", "trailing-dot"}),
}
