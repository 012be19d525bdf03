"""This service as it is, with two routes more: with a token and no database, and with neither.

With DATABASE_IS_AWAY, a number of milliseconds, the database answers so much later, as if it were
in another house: the thread that asked waits, and the processor is free for others.
"""

import os
import time

from flask.typing import ResponseReturnValue
from sqlalchemy import event

from resource_server.auth import current_principal, require_scope
from resource_server.extensions import db
from wsgi import app

_AWAY = float(os.environ.get("DATABASE_IS_AWAY", "0")) / 1000

if _AWAY:
    with app.app_context():
        for engine in db.engines.values():
            event.listen(engine, "before_cursor_execute", lambda *_: time.sleep(_AWAY))


@app.get("/protected")
@require_scope("me randoms")
def protected() -> ResponseReturnValue:
    """Tell whose token it is."""
    return {"sub": current_principal.sub}


@app.get("/bare")
def bare() -> ResponseReturnValue:
    """Ask for nothing."""
    return {"ok": True}
