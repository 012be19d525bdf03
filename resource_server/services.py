"""What one app works with, put together once by `create_app` and read-only from then on."""

from dataclasses import dataclass

from flask import current_app

from resource_server.database import Connections
from resource_server.identity.directory import UserDirectory
from resource_server.identity.provider import IdentityProvider
from resource_server.rate_limits import RateLimits
from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.settings import Settings
from resource_server.tokens import CognitoVerifier

_NAME = "resource_server"


@dataclass(frozen=True, slots=True)
class Services:
    """One app's settings and the collaborators made from them."""

    settings: Settings
    connections: Connections
    verifier: CognitoVerifier
    revocations: DenyListSnapshot
    identity: IdentityProvider
    directory: UserDirectory
    rate_limits: RateLimits

    def attach(self, extensions: dict[str, object]) -> None:
        """Hand these services to an app (`app.extensions`)."""
        extensions[_NAME] = self


def services() -> Services:
    """Return the services of the current app.

    Raises RuntimeError outside an app, or in one that `create_app` did not make.
    """
    found = current_app.extensions.get(_NAME)
    if not isinstance(found, Services):
        raise RuntimeError("this app was not made by resource_server.create_app")  # noqa: TRY004
    return found
