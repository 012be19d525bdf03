"""Authlib's bearer token validator, asking the token core of the current app."""

import time
from collections.abc import Sequence

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6750 import BearerTokenValidator, InsufficientScopeError, InvalidTokenError

from resource_server.auth.extension import guard
from resource_server.auth.principal import note_refusal
from resource_server.auth.requirement import TokenRequirement
from resource_server.tokens import AccessToken, InvalidToken


class SignedInTooLongAgo(OAuth2Error):  # type: ignore[misc]  # Authlib is untyped
    """The view wants a sign-in more recent than the token's (RFC 9470 §3)."""

    error = "insufficient_user_authentication"


class CognitoTokenValidator(BearerTokenValidator):  # type: ignore[misc]  # Authlib is untyped
    """Holds no configuration: the current app's verifier decides.

    Authlib's own validator for JWT access tokens (RFC 9068) does not fit: it requires an `aud`,
    which Cognito's access tokens lack, and knows no `token_use`.
    """

    def authenticate_token(self, token_string: str) -> AccessToken:
        """Verify the token's text.

        Raises InvalidTokenError with a fixed description, or a VerificationUnavailable.
        """
        try:
            return guard().verifier.verify(token_string)
        except InvalidToken as error:
            note_refusal(error.reason)
            raise InvalidTokenError(error.description) from error

    def validate_token(
        self,
        token: AccessToken,
        scopes: Sequence[str],
        request: object,  # noqa: ARG002 - Authlib's signature
        requirement: TokenRequirement,
    ) -> None:
        """Check that the token meets what the view demands.

        Raises InsufficientScopeError or SignedInTooLongAgo.
        """
        # Authlib's `scope_insufficient` takes a list for alternatives, and parses it each time.
        if not token.scopes.issuperset(scopes):
            raise InsufficientScopeError
        if requirement.any_of and token.scopes.isdisjoint(requirement.any_of):
            raise InsufficientScopeError
        if requirement.groups and not set(requirement.groups).intersection(token.groups):
            raise InsufficientScopeError
        if requirement.max_age is not None and (
            token.auth_time is None or time.time() - token.auth_time > requirement.max_age
        ):
            raise SignedInTooLongAgo
        if requirement.check is not None and not requirement.check(token):
            raise InsufficientScopeError
