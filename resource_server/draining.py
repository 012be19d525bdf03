"""A gunicorn worker that answers those who are waiting at its door before it goes.

gunicorn's own stops accepting at SIGTERM and leaves its socket open until it ends, two seconds
later with kept connections: who connects meanwhile is let in by the kernel, sends a request, and
is cut off without an answer.
"""

import socket
import time

from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    STOP_KEEPALIVE_LINGER,
    ThreadWorker,
)


class DrainingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no type information
    """`gthread` that, when it ends, takes in who has connected and then closes the door at once.

    From then on clients and proxies are refused before they have sent anything, and may safely ask
    elsewhere. Sockets are copies: those of other workers and, at a reload, of the parent stay open.
    """

    sockets: list[socket.socket]

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or no longer; gunicorn calls this when a worker begins to end."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            # A worker that is stopped while it starts registers the sockets first: the poller would
            # go on reporting them after they are closed here, since other processes have them open.
            super().set_accept_enabled(False)
            # Who has connected and said nothing may speak now, as gunicorn has it for those who
            # have spoken before; else one of them would hold the worker for `graceful_timeout`.
            soon = time.monotonic() + STOP_KEEPALIVE_LINGER
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, soon)
            for listener in self.sockets:
                self._take_in(listener)
                listener.close()
            self.sockets = []

    def _take_in(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        before = -1
        while before != self.nr_conns:
            before = self.nr_conns
            self.accept(listener)
