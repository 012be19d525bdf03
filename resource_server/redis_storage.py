"""Redis as `limits` uses it; loaded where RATELIMIT_STORAGE_URI says so, see rate_limits.py."""

from limits.storage import Storage, storage_from_string
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.retry import Retry

_SECONDS = 0.2  # for connecting and for each answer: it is near, or it is away


def connect(uri: str) -> Storage:
    """Return the storage behind a `redis://` address; nothing connects yet."""
    options = {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        # Once, at once, for a connection that Redis closed while it lay in the pool; by default
        # the client waits for seconds.
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
    }
    storage = storage_from_string(uri, wrap_exceptions=True, **options)  # type: ignore[arg-type]
    if not isinstance(storage, Storage):
        raise TypeError(f"{type(storage).__name__} is for async programs")
    return storage
