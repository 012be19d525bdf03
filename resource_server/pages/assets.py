"""The files that pages load: a fixed list, read once, with addresses that change with the content.

Nothing is looked up on disk by a name from a request, so there is no path to climb.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from flask import Response, abort, request, url_for

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; `version` is a digest of what is in it."""

    content: bytes
    compressed: bytes
    content_type: str
    version: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Files of one folder of a package, served by one endpoint that takes their `name`."""

    endpoint: str
    package: str
    folder: str
    names: frozenset[str]

    def address(self, name: str) -> str:
        """Return where a file is served, which browsers may keep for good."""
        return url_for(self.endpoint, name=name, v=_read(self.package, self.folder, name).version)

    def answer(self, name: str) -> Response:
        """Answer with a file, or 304; 404 for what is not on the shelf."""
        if name not in self.names:
            abort(404)
        asset = _read(self.package, self.folder, name)
        small = request.accept_encodings["gzip"] > 0
        response = Response(asset.compressed if small else asset.content)
        response.headers["Content-Type"] = asset.content_type
        if small:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.set_etag(f"{asset.version}{'-gzip' if small else ''}")
        current = request.args.get("v") == asset.version
        response.headers["Cache-Control"] = _A_YEAR if current else "no-cache"
        response.make_conditional(request)
        return response


@cache
def _read(package: str, folder: str, name: str) -> Asset:
    content = (resources.files(package) / folder / name).read_bytes()
    return Asset(
        content=content,
        compressed=gzip.compress(content, mtime=0),
        content_type=_TYPES[name.rpartition(".")[2]],
        version=hashlib.sha256(content).hexdigest()[:16],
    )


OURS = Shelf(
    "pages.asset",
    "resource_server.pages",
    "static",
    frozenset({"docs.css", "docs.js", "icon.svg", "landing.css", "landing.js"}),
)
SWAGGER_UI = Shelf(
    "docs.swagger_ui",
    "flask_swagger_ui",
    "dist",
    frozenset(
        {"oauth2-redirect.html", "oauth2-redirect.js", "swagger-ui-bundle.js", "swagger-ui.css"}
    ),
)
