"""The least of Flask: this service's token core and statements, and nothing around them.

No log, metrics, headers, schemas or error pages: Flask, one statement of SQLAlchemy Core on
psycopg2, and orjson. It shows what all of that costs the service, and how quick these parts can be.
"""

from typing import Any

import orjson
from flask import Flask, Response, abort, request
from sqlalchemy import create_engine

from benchmarks.peers import config
from resource_server.database import Connections
from resource_server.randoms.store import Drawn, OwnedRandoms
from resource_server.tokens import AccessToken, CognitoVerifier, InvalidToken, KeyStore, UserPool
from resource_server.users.accounts import AccountDisabled

engine = create_engine(
    config.DATABASE_URL,
    pool_size=config.POOL_SIZE,
    max_overflow=config.MAX_OVERFLOW,
    isolation_level="AUTOCOMMIT",
)
connections = Connections(engine, engine)
verifier = CognitoVerifier(
    UserPool.parse(config.POOL_ID, issuer=config.ISSUER),
    client_ids={config.CLIENT_ID},
    keys=KeyStore(config.JWKS_URI),
)
app = Flask(__name__)


def _token() -> AccessToken:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer":
        abort(401)
    try:
        token = verifier.verify(text)
    except InvalidToken:
        abort(401)
    if not token.scopes.issuperset(config.SCOPES):
        abort(403)
    return token


def _mine() -> OwnedRandoms:
    return OwnedRandoms(_token(), connections)


def _shown(number: Drawn) -> dict[str, int]:
    drawn, num, low, high = number
    return {"id": drawn, "num": num, "min_value": low, "max_value": high}


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, mimetype="application/json")


@app.get("/randoms")
def list_randoms() -> Response:
    """List the user's numbers."""
    limit = min(request.args.get("limit", 20, type=int), 100)
    return _json([_shown(number) for number in _mine().page(limit=limit)])


@app.post("/randoms")
def create_random() -> Response:
    """Draw a number and keep it."""
    mine, bounds = _mine(), orjson.loads(request.get_data())
    return _json(_shown(mine.create(int(bounds["min_value"]), int(bounds["max_value"]))), 201)


@app.get("/protected")
def protected() -> Response:
    """Tell whose token it is."""
    return _json({"sub": _token().sub})


@app.get("/bare")
def bare() -> Response:
    """Ask for nothing."""
    return _json({"ok": True})


@app.errorhandler(AccountDisabled)
def _disabled(_error: AccountDisabled) -> Response:
    return _json({"detail": "Forbidden"}, 403)
