"""The document over HTTP."""

from apiflask import APIBlueprint
from flask import Response, current_app, request

from resource_server.addresses import mount_of
from resource_server.openapi.document import ABOUT, document
from resource_server.openapi.schemas import Document
from resource_server.refusals import responds
from resource_server.services import services

openapi = APIBlueprint("openapi", __name__, tag=ABOUT)
_NAME = "resource_server.openapi"


@openapi.get("/openapi.json")
@responds(200, Document)
@responds(304, description="The client has it: `If-None-Match` named its ETag")
def openapi_json() -> Response:
    """Describe this API as an OpenAPI 3.1 document."""
    mount = mount_of(request.environ)
    kept, text = current_app.extensions.get(_NAME, (None, b""))
    if kept != mount:
        made = document(current_app, services().settings.cognito_domain, mount)
        text = current_app.json.dumps(made).encode()
        current_app.extensions[_NAME] = mount, text
    response = Response(text, mimetype="application/json")
    response.cache_control.no_cache = True  # kept, and asked for again: 304 while it is the same
    response.add_etag()
    response.make_conditional(request)
    return response
