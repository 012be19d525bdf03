"""This service as it is, with two routes more: with a token and no database, and with neither."""

from flask.typing import ResponseReturnValue

from resource_server.auth import current_principal, require_scope
from wsgi import app


@app.get("/protected")
@require_scope("me randoms")
def protected() -> ResponseReturnValue:
    """Tell whose token it is."""
    return {"sub": current_principal.sub}


@app.get("/bare")
def bare() -> ResponseReturnValue:
    """Ask for nothing."""
    return {"ok": True}
