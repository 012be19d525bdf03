"""`/` for people and programs, and /docs: Swagger UI on the API's own description."""

from apiflask import APIBlueprint
from flask import Response, jsonify, make_response, render_template, request, url_for

from resource_server.addresses import mount_of
from resource_server.auth.extension import METADATA_PATH
from resource_server.bodies import MessageOut
from resource_server.emulator.state import DEMO_PASSWORD, DEMO_USERNAME
from resource_server.pages import policies
from resource_server.pages.assets import OURS, SWAGGER_UI
from resource_server.refusals import responds
from resource_server.services import services
from resource_server.settings import Settings

pages = APIBlueprint("pages", __name__, template_folder="templates")
docs = APIBlueprint("docs", __name__, url_prefix="/docs", template_folder="templates")

_JSON, _HTML = "application/json", "text/html"


@pages.get("/")
@responds(200, MessageOut, "A greeting; a page for browsers", also="text/html")
def home() -> Response:
    """Greet, and show browsers around."""
    if request.accept_mimetypes.best_match([_JSON, _HTML], default=_JSON) == _HTML:
        settings = services().settings
        response = _page(
            "landing.html",
            policies.LANDING,
            settings=settings,
            demo=_demo(settings),
            metadata=f"{mount_of(request.environ)}{METADATA_PATH}",
        )
    else:
        response = jsonify({"message": "Home page of randomizer"})
    response.vary.add("Accept")
    return response


@pages.get("/assets/<name>")
@pages.doc(hide=True)
def asset(name: str) -> Response:
    """Serve a file that pages load."""
    return OURS.answer(name)


@docs.get("")
@docs.doc(hide=True)
def index() -> Response:
    """Show the API's documentation, where requests can be tried."""
    settings = services().settings
    return _page("docs.html", policies.docs(settings.cognito_domain), told=_told(settings))


@docs.get("/<name>")
@docs.doc(hide=True)
def swagger_ui(name: str) -> Response:
    """Serve a file of Swagger UI."""
    response = SWAGGER_UI.answer(name)
    if name == "oauth2-redirect.html":
        response.headers["Content-Security-Policy"] = policies.BACK_FROM_LOGIN
    return response


def _told(settings: Settings) -> dict[str, object]:
    """Return what docs.js must know; a page without inline scripts carries it in an attribute."""
    return {
        "description": url_for("openapi.openapi_json"),
        "redirect": url_for("docs.swagger_ui", name="oauth2-redirect.html"),
        "serviceClient": settings.aws_cognito_app_client_id,
        "pageClient": _public_client(settings),
        "demoUser": _demo(settings),
    }


def _public_client(settings: Settings) -> str:
    """Return the client that pages, which keep no secret, can sign in with; "" if none is known."""
    if settings.api_docs_client_id or settings.aws_cognito_app_client_secret:
        return settings.api_docs_client_id or ""
    return settings.aws_cognito_app_client_id


def _demo(settings: Settings) -> dict[str, str] | None:
    """Return the emulator's demo user; there is none at any other pool."""
    if settings.cognito_emulator == "off":
        return None
    return {"username": DEMO_USERNAME, "password": DEMO_PASSWORD}


def _page(template: str, policy: str, **values: object) -> Response:
    response = make_response(
        render_template(template, ours=OURS.address, swagger_ui=SWAGGER_UI.address, **values)
    )
    response.headers["Content-Security-Policy"] = policy
    return response
