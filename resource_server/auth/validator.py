"""Authlib's bearer token validator, asking the token core of the current app."""

from authlib.oauth2.rfc6750 import BearerTokenValidator, InsufficientScopeError, InvalidTokenError

from resource_server.services import services
from resource_server.tokens import AccessToken, InvalidToken


class CognitoTokenValidator(BearerTokenValidator):  # type: ignore[misc]  # Authlib is untyped
    """Holds no configuration: the current app's verifier decides.

    Authlib's own validator for JWT access tokens (RFC 9068) does not fit: it requires an `aud`,
    which Cognito's access tokens lack, and knows no `token_use`.
    """

    def authenticate_token(self, token_string: str) -> AccessToken:
        """Verify the token's text.

        Raises InvalidTokenError with a fixed description, or KeysUnavailable.
        """
        try:
            return services().verifier.verify(token_string)
        except InvalidToken as error:
            raise InvalidTokenError(error.description) from error

    def validate_token(self, token: AccessToken, scopes: list[str] | None, request: object) -> None:  # noqa: ARG002
        """Check that the token carries every scope that the view needs.

        Raises InsufficientScopeError.
        """
        if self.scope_insufficient(sorted(token.scopes), scopes):
            raise InsufficientScopeError
