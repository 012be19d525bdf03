"""Flask with flask-jwt-extended and Flask-SQLAlchemy's ORM."""

import random
from typing import Any

import jwt
from flask import Flask, abort, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, get_jwt, jwt_required
from flask_sqlalchemy import SQLAlchemy

from benchmarks.peers import config
from benchmarks.peers.models import Base, Random, User

app = Flask(__name__)
app.json.sort_keys = False  # type: ignore[attr-defined]  # as the default provider has it
app.config |= {
    "SQLALCHEMY_DATABASE_URI": config.DATABASE_URL,
    "SQLALCHEMY_ENGINE_OPTIONS": {
        "pool_size": config.POOL_SIZE,
        "max_overflow": config.MAX_OVERFLOW,
    },
    "JWT_ALGORITHM": "RS256",
    "JWT_DECODE_ISSUER": config.ISSUER,
    "JWT_IDENTITY_CLAIM": "sub",
    "PROPAGATE_EXCEPTIONS": False,
}
db = SQLAlchemy(app, model_class=Base, session_options={"expire_on_commit": False})
tokens = JWTManager(app)
_keys = jwt.PyJWKClient(config.JWKS_URI, cache_keys=True)


@tokens.decode_key_loader  # type: ignore[untyped-decorator]
def _key(header: dict[str, Any], _claims: dict[str, Any]) -> Any:
    return _keys.get_signing_key(header["kid"]).key


@tokens.token_verification_loader  # type: ignore[untyped-decorator]
def _is_ours(_header: dict[str, Any], claims: dict[str, Any]) -> bool:
    return claims.get("token_use") == "access" and claims.get("client_id") == config.CLIENT_ID


@tokens.token_verification_failed_loader  # type: ignore[untyped-decorator]
@tokens.unauthorized_loader  # type: ignore[untyped-decorator]
@tokens.invalid_token_loader  # type: ignore[untyped-decorator]
def _unauthorized(*_: Any) -> ResponseReturnValue:
    return {"detail": "Unauthorized"}, 401


def _sub() -> str:
    claims: dict[str, Any] = get_jwt()
    if not config.SCOPES.issubset(claims.get("scope", "").split()):
        abort(403)
    return str(claims["sub"])


def _user() -> User:
    user: User | None = db.session.scalar(db.select(User).where(User.sub == _sub()))
    if user is None or user.disabled:
        abort(403)
    return user


def _shown(number: Random) -> dict[str, int]:
    return {
        "id": number.id,
        "num": number.num,
        "min_value": number.min_value,
        "max_value": number.max_value,
    }


@app.get("/randoms")
@jwt_required()  # type: ignore[untyped-decorator]
def list_randoms() -> ResponseReturnValue:
    """List the user's numbers."""
    limit = min(request.args.get("limit", 20, type=int), 100)
    mine = db.select(Random).where(Random.owner_sub == _user().sub)
    found = db.session.scalars(mine.order_by(Random.id).limit(limit))
    return jsonify([_shown(number) for number in found])


@app.post("/randoms")
@jwt_required()  # type: ignore[untyped-decorator]
def create_random() -> ResponseReturnValue:
    """Draw a number and keep it."""
    low, high = int(request.json["min_value"]), int(request.json["max_value"])
    number = Random(
        num=random.randint(low, high),  # noqa: S311 - nothing secret
        min_value=low,
        max_value=high,
        owner_sub=_user().sub,
    )
    db.session.add(number)
    db.session.commit()
    return jsonify(_shown(number)), 201


@app.get("/protected")
@jwt_required()  # type: ignore[untyped-decorator]
def protected() -> ResponseReturnValue:
    """Tell whose token it is."""
    return {"sub": _sub()}


@app.get("/bare")
def bare() -> ResponseReturnValue:
    """Ask for nothing."""
    return {"ok": True}
