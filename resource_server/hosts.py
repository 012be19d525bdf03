"""Which hosts the service serves, and where it is mounted."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, current_app, request
from werkzeug.exceptions import BadRequest, HTTPException

from resource_server.addresses import InvalidHost, PublicAddress, host_of, is_path
from resource_server.bodies import NO_HOST, OTHER_HOST
from resource_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

View = TypeVar("View", bound=Callable[..., Any])


class MisdirectedRequest(HTTPException):
    """421: the request is for a host that the service does not serve (RFC 9110 §15.5.20)."""

    code = 421


def for_any_host(view: View) -> View:
    """Serve a view on any host: probes name a machine by its address."""
    view.for_any_host = True  # type: ignore[attr-defined]
    return view


def is_for_any_host(view: Callable[..., Any] | None) -> bool:
    """Return whether a view is served on any host."""
    return getattr(view, "for_any_host", False)


def mount(app: Flask, settings: Settings) -> None:
    """Let links begin where clients see the service: at PUBLIC_URL, or at the proxy's prefix.

    Call it before the proxy's headers are read, so that it runs after that.
    """
    if settings.public_address is not None or settings.trusted_proxy_prefix:
        app.wsgi_app = _Mount(app.wsgi_app, settings.public_address)  # type: ignore[method-assign]


def check(app: Flask, settings: Settings) -> None:
    """Reject requests without a valid Host, and those for hosts that the settings do not name.

    Without PUBLIC_URL and TRUSTED_HOSTS, every valid host is accepted.
    """
    names = set(settings.trusted_hosts)
    if settings.public_address is not None:
        names.add(settings.public_address.host.normalized_name)
    trusted = frozenset(names)

    def check_host() -> None:
        try:
            host = host_of(request.environ)
        except InvalidHost:
            raise BadRequest(NO_HOST) from None
        if not trusted or host is None or host.normalized_name in trusted:
            return
        if not is_for_any_host(current_app.view_functions.get(request.endpoint or "")):
            raise MisdirectedRequest(OTHER_HOST)

    app.before_request(check_host)


class _Mount:
    """Sets SCRIPT_NAME and the scheme to those of the public address.

    Without one, it drops a SCRIPT_NAME that is no path: the proxy may have passed on what a client
    wrote into `X-Forwarded-Prefix`, and `//host` would make links lead to another host.
    """

    def __init__(self, app: "WSGIApplication", public: PublicAddress | None) -> None:
        self._app, self._public = app, public

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> "Iterable[bytes]":
        """Call the app."""
        if self._public is not None:
            environ["SCRIPT_NAME"] = self._public.path
            environ["wsgi.url_scheme"] = self._public.scheme
        else:
            mount = environ.get("SCRIPT_NAME", "").removesuffix("/")
            environ["SCRIPT_NAME"] = mount if is_path(mount) else ""
        return self._app(environ, start_response)
