"""What tests and containers ask the emulator itself: codes that were sent, and whether it is up."""

from flask import Blueprint, Response, jsonify, request

from resource_server.emulator.gaps import find_pool, outbox, pools
from resource_server.emulator.gaps.directory import find_user
from resource_server.emulator.gaps.outboxes import SentCode

control = Blueprint("control", __name__)


@control.get("/health")
def health() -> Response:
    """Tell that requests are answered, and for which pools."""
    return jsonify({"status": "ok", "pools": [pool.id for pool in pools()]})


@control.get("/_emulator/codes")
def codes() -> Response:
    """List the codes that would have been sent, newest first.

    `username`, which may be an alias or `sub`, and `pool` narrow it.
    """
    return jsonify(
        [
            {
                "pool": sent.pool_id,
                "username": sent.username,
                "destination": sent.destination,
                "code": sent.code,
            }
            for sent in reversed(outbox.sent)
            if _is_asked_for(sent)
        ]
    )


@control.delete("/_emulator/codes")
def forget_codes() -> Response:
    """Forget the codes of this list, so that the next one is new; users can still use them."""
    kept = [sent for sent in outbox.sent if not _is_asked_for(sent)]
    outbox.sent.clear()
    outbox.sent.extend(kept)
    return Response(status=204)


def _is_asked_for(sent: SentCode) -> bool:
    pool_id, name = request.args.get("pool"), request.args.get("username")
    if pool_id is not None and sent.pool_id != pool_id:
        return False
    if name is None or name == sent.username:
        return True
    pool = find_pool(sent.pool_id)
    user = find_user(pool, name) if pool else None
    return user is not None and user.username == sent.username
