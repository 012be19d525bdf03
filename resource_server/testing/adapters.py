"""What mocks of `requests` do to each other: `responses` and moto patch `HTTPAdapter.send`.

The last one to start is asked alone, and who stops puts back what it found. Which adapter to send
with is asked before that.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest
from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter, HTTPAdapter

T = TypeVar("T")
Send = Callable[..., Response]


@contextmanager
def answered_first(addresses: Collection[str], send: Send) -> Iterator[None]:
    """Send requests to these addresses, with whatever query, by `send(adapter, request, …)`.

    An adapter that sends in its own way, as a cache does, is left alone.
    """
    before: Callable[[Session, str], BaseAdapter] = Session.get_adapter

    def get_adapter(session: Session, url: str) -> BaseAdapter:
        adapter = before(session, url)
        is_usual = type(adapter).send is HTTPAdapter.send
        is_ours = is_usual and url.partition("?")[0] in addresses
        return _Answered(adapter, send) if is_ours else adapter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "get_adapter", get_adapter)
        yield


@contextmanager
def leaks_kept(mock: AbstractContextManager[T]) -> Iterator[T]:
    """Run a mock whose end does not hide, from the guard, what was started after it and goes on."""
    with mock as started:
        ours = HTTPAdapter.send
        yield started
        left: Any = HTTPAdapter.send
    if left is not ours:
        HTTPAdapter.send = left  # type: ignore[method-assign]


class _Answered(BaseAdapter):
    """Stands for an adapter whose requests somebody else sends."""

    def __init__(self, adapter: BaseAdapter, send: Send) -> None:
        super().__init__()
        self._adapter = adapter
        self._send = send

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request."""
        return self._send(self._adapter, request, *args, **kwargs)

    def close(self) -> None:
        """Hold nothing that must be closed."""
