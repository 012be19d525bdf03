"""Whose token it is, for stores that need no verified one."""

from typing import NamedTuple


class Holder(NamedTuple):
    """What stores read of an access token."""

    sub: str
    username: str | None = None
    pool_id: str = "eu-west-2_Stores"
    issued_at: float = 1
    jti: str | None = None
    origin_jti: str | None = None
