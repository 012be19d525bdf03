"""What can go wrong when a token is verified.

    TokenError
    ├── InvalidToken                the token is refused: answer 401 (RFC 6750 §3.1 invalid_token)
    │   ├── TokenTooLarge           more than 32,768 characters, refused unread
    │   ├── MalformedToken          not a JWS in compact serialisation, or JSON that is not strict
    │   ├── UnsupportedAlgorithm    `alg` is not RS256
    │   ├── UnsupportedHeader       `crit`, or a `typ` that is no access token's
    │   ├── MissingKeyId            no usable `kid`
    │   ├── UnknownKey              no key of the pool has this `kid`
    │   ├── BadSignature
    │   ├── WrongIssuer
    │   ├── WrongTokenUse           an ID token, for one
    │   ├── WrongClient             an app client that is not on the list
    │   ├── WrongAudience
    │   ├── ExpiredToken
    │   ├── TokenNotYetValid        `nbf` or `iat` in the future
    │   ├── InvalidClaim            a claim is missing or of the wrong type
    │   └── RevokedToken            on the deny list: signed out, or its user disabled
    └── VerificationUnavailable     nobody can tell now: answer 503 with Retry-After
        ├── KeysUnavailable
        └── DenyListUnavailable

Each class has a `reason`, a word for counters and logs out of a closed set, and a `description`, a
fixed sentence within the characters that RFC 6750 §3 allows in `error_description`. Neither ever
holds text of the token, so both may be shown and logged.
"""

from typing import ClassVar


class TokenError(Exception):
    """Root of all errors of the token core."""

    reason: ClassVar[str] = "error"
    description: ClassVar[str] = "The access token could not be verified"

    def __str__(self) -> str:
        return self.description


class InvalidToken(TokenError):
    """The token is refused; trying again with it is pointless."""

    reason = "invalid"
    description = "The access token is invalid"


class TokenTooLarge(InvalidToken):
    """The token has more than `MAX_TOKEN_CHARACTERS` characters and was not read."""

    reason = "too_large"
    description = "The access token is too large"


class MalformedToken(InvalidToken):
    """Not three parts of canonical base64url with strict JSON objects in them (RFC 7515 §3.1)."""

    reason = "malformed"
    description = "The access token is malformed"


class UnsupportedAlgorithm(InvalidToken):
    """`alg` is not RS256, the only algorithm Cognito signs with (RFC 8725 §3.1)."""

    reason = "algorithm"
    description = "The access token is not signed with RS256"


class UnsupportedHeader(InvalidToken):
    """A `crit` member (RFC 7515 §4.1.11) or a `typ` that is no access token's (RFC 8725 §3.11)."""

    reason = "header"
    description = "The access token has a header that is not supported"


class MissingKeyId(InvalidToken):
    """`kid` is absent, empty or not text; Cognito always sets it."""

    reason = "key_id"
    description = "The access token names no signing key"


class UnknownKey(InvalidToken):
    """The pool publishes no key with this `kid`."""

    reason = "unknown_key"
    description = "The access token is signed with an unknown key"


class BadSignature(InvalidToken):
    """The signature does not verify."""

    reason = "signature"
    description = "The signature of the access token is invalid"


class WrongIssuer(InvalidToken):
    """`iss` is none of the pool's issuers."""

    reason = "issuer"
    description = "The access token is from another issuer"


class WrongTokenUse(InvalidToken):
    """`token_use` is not `access`: ID tokens are for clients, not for APIs."""

    reason = "token_use"
    description = "The token is not an access token"


class WrongClient(InvalidToken):
    """`client_id` is not on the allow list."""

    reason = "client"
    description = "The access token was issued to another client"


class WrongAudience(InvalidToken):
    """`aud` is present and names nobody on the allow list."""

    reason = "audience"
    description = "The access token is for another audience"


class ExpiredToken(InvalidToken):
    """`exp` has passed, leeway included."""

    reason = "expired"
    description = "The access token has expired"


class TokenNotYetValid(InvalidToken):
    """`nbf` or `iat` lies in the future, leeway included."""

    reason = "not_yet_valid"
    description = "The access token is not yet valid"


class InvalidClaim(InvalidToken):
    """A claim is missing or has a type that Cognito never gives it; `claim` is its name."""

    reason = "claim"
    description = "The access token has a missing or malformed claim"

    def __init__(self, claim: str) -> None:
        super().__init__(claim)
        self.claim = claim


class RevokedToken(InvalidToken):
    """The deny list has the token, its sign-in, or its user."""

    reason = "revoked"
    description = "The access token was revoked"


class VerificationUnavailable(TokenError):
    """What is needed to decide cannot be had now; `retry_after` is in whole seconds."""

    reason = "unavailable"
    description = "Access tokens cannot be verified now"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class KeysUnavailable(VerificationUnavailable):
    """No usable key set is at hand and none can be had now."""

    reason = "keys_unavailable"
    description = "The keys to verify access tokens are unavailable"


class DenyListUnavailable(VerificationUnavailable):
    """The deny list was never read in this process, and cannot be now."""

    reason = "deny_list_unavailable"
    description = "The list of revoked access tokens is unavailable"
