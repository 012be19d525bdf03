"""Some addresses of `requests`, answered by one mock whatever others are started later.

`responses` and moto patch `HTTPAdapter.send`, where the last one to start is asked alone. Which
adapter to send with is asked before that.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter, HTTPAdapter

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
