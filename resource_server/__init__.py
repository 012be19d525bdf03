"""A Flask and Authlib OAuth 2.0 resource server for Amazon Cognito.

Importing the package imports nothing else: `create_app` arrives when it is asked for (PEP 562), so
that the token core or the Lambda trigger can be used without loading Flask.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resource_server.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from resource_server.app import create_app  # noqa: PLC0415 - lazy on purpose, see above

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
