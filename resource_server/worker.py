"""The gunicorn worker: one thread at a time waits for requests, and answers them itself.

`gthread` has a thread that waits for requests and hands each over to another one. While both run
they take the interpreter's lock from each other, at every read and write; with eight threads that
was a quarter to a half of the throughput (docs/performance.md). A request that is over within a
millisecond is quickest answered by who was waiting for it, before it waits for the next.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from socket import socket
from threading import Event, Lock, Thread
from typing import Any

from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.util import close_graceful  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from resource_server.draining import DrainingWorker
from resource_server.plain import PlainParser, PlainRequest, PlainResponse

PATIENCE_SECONDS = 0.001
"""So long may one answer keep the next request waiting: as long as a page takes."""
BUSY_PATIENCE_SECONDS = 0.005
"""So long while the machine has no processor left for whoever would answer the next one."""
_SPARE = 0.15  # of the machine's processors, as far as they tell: a hundred times a second
_LOOK_SECONDS = 0.25

YIELD_SECONDS = 0.0002
"""So long others may take a new connection, before a worker takes a second one in a row.

Clients and proxies open many connections at once and keep them. Who is awake first would take all,
in a tenth of the cases, before another worker has got a processor to wake up on; and all of their
requests from then on. A worker that answers in between takes part again without waiting.
"""


class Patience:
    """How long one answer may keep the next request waiting, by what the processors do.

    Where one is idle, all others wait for something as well, and might as well be answered. Where
    all are busy, an answer is late because it waits for a processor; whoever is called to take over
    takes that from it, and both take turns for the rest of the way. A database next door to a busy
    server looks just like one that is far from an idle one, so it is the machine that is looked at,
    not the answer.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._seen = (0, 0)
        self._due = 0.0
        self._seconds = PATIENCE_SECONDS

    def seconds(self, now: float) -> float:
        """Return the patience at a time, in seconds; where nothing tells, the short one."""
        if now >= self._due:
            self._due = now + _LOOK_SECONDS
            idle, spent = self._look()
            if spent > 0:
                self._seconds = BUSY_PATIENCE_SECONDS if idle < _SPARE * spent else PATIENCE_SECONDS
        return self._seconds

    def _look(self) -> tuple[int, int]:
        """Return the time that was idle since the last look, and all time: proc_stat(5)."""
        try:
            with self._stat.open("rb") as stat:
                times = [int(part) for part in stat.readline().split()[1:9]]
        except (OSError, ValueError):
            return 0, 0
        seen = (sum(times[3:5]), sum(times))  # idle, and idle while a disk is waited for
        idle, spent = seen[0] - self._seen[0], seen[1] - self._seen[1]
        self._seen = seen
        return idle, spent


class Worker(DrainingWorker):
    """`gthread` with leaders and followers (Schmidt et al., POSA2) instead of a dispatcher.

    Who has the loop waits for requests, answers them, and looks after the connections; nobody else
    touches those. The loop goes around among `threads` of a crew: when an answer takes longer than
    `Patience` has it, the main thread, which watches, calls the next one to take over. So a slow
    answer holds one thread, as ever, and as many answer at once as there is time to wait for.

    The main thread has the loop once a second, for gunicorn's heartbeat and to close what is idle,
    and when the worker ends: from then on it is `gthread` as it was.
    """

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop = Lock()  # taken by one thread, and let go of by it or, if it is slow, by main
        self._open = Event()  # the crew may have the loop
        self._stirred = Event()  # somebody answers, or main should look why it was called
        self._ready: deque[TConn] = deque()
        self._answering: object = None  # by whoever has the loop; new for each answer
        self._judging = Lock()  # whether who answers still has the loop
        self._patience = Patience()
        self._is_taking_in = False  # nothing was answered since it took a connection
        self._door: socket | None = None  # where it took the last one, and more may be waiting
        self._broken: BaseException | None = None  # what no answer is to blame for

    def init_process(self) -> None:
        """Serve until the end; gunicorn calls this in the worker's process."""
        self._loop.acquire()
        super().init_process()

    def run(self) -> None:
        """Call the crew together, and do what gunicorn does around each wait for requests."""
        for number in range(self.cfg.threads):
            Thread(target=self._serve, name=f"crew-{number}", daemon=True).start()
        super().run()

    def accept(self, listener: socket) -> None:
        """Take in a new connection, if no other worker was quicker."""
        if self._is_taking_in and self.alive:
            time.sleep(YIELD_SECONDS)
        before = self.nr_conns
        super().accept(listener)
        self._is_taking_in = self.nr_conns > before  # who came too late need not wait next time
        self._door = listener if self._is_taking_in else None

    def enqueue_req(self, conn: TConn) -> None:
        """Note a connection whose next request is there; whoever has the loop calls this."""
        if not self.alive:
            super().enqueue_req(conn)
        elif conn.initialized or conn.data_ready:
            self._ready.append(conn)
        else:  # a new one, which may say nothing for long: no thread waits for it
            if PlainParser.suits(self.cfg):
                conn.parser = PlainParser(self.cfg, conn.sock, conn.client)
            conn.set_timeout()
            self.pending_conns.append(conn)
            readable = partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, EVENT_READ, readable)
            if self.nr_conns >= self.worker_connections:
                self.set_accept_enabled(False)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Lend the loop to the crew for `timeout` seconds; the main thread calls this."""
        if self.alive:
            self._open.set()
            self._loop.release()
            self._watch(time.monotonic() + timeout)
            self._take_back()
            if self._broken is not None:
                raise self._broken
        else:
            while self._ready:
                super().enqueue_req(self._ready.popleft())
            super().wait_for_and_dispatch_events(timeout)

    def _watch(self, until: float) -> None:
        while self.alive and (left := until - time.monotonic()) > 0:
            answering = self._answering
            if answering is not None:
                time.sleep(self._patience.seconds(time.monotonic()))
                self._relieve(answering)
                continue
            self._stirred.clear()
            if self._answering is None and self.alive:
                self._stirred.wait(left)

    def _take_back(self) -> None:
        self._open.clear()
        self.method_queue.defer(_nothing)  # whoever waits for requests wakes up and looks
        while True:
            answering = self._answering
            if self._loop.acquire(timeout=PATIENCE_SECONDS):
                return
            self._relieve(answering)

    def _relieve(self, answering: object) -> None:
        """Free the loop if who has it is still at the same answer."""
        with self._judging:
            if answering is None or self._answering is not answering:
                return
            self._answering = None
        self._loop.release()

    def _serve(self) -> None:
        """Be one of the crew."""
        while self.alive:
            self._open.wait()
            self._loop.acquire()
            try:
                self._lead()
            except BaseException as error:  # noqa: BLE001 - main raises it
                self._broken = error
                self.alive = False
                self._loop.release()
        self._stirred.set()

    def _lead(self) -> None:
        """Wait and answer, until relieved or called upon to give the loop back."""
        while self.alive and self._open.is_set():
            if not self._ready:
                super().wait_for_and_dispatch_events(None)
                continue
            conn = self._ready.popleft()
            mine = self._answering = object()
            if not self._stirred.is_set():
                self._stirred.set()
            rest = self._answer(conn)
            with self._judging:
                relieved = self._answering is not mine
                if not relieved:
                    self._answering = None
            if relieved:
                self.method_queue.defer(rest)
                return
            rest()
            if self._ready and self._door is not None:
                self._let_in(self._door)
        self._loop.release()

    def _let_in(self, door: socket) -> None:
        """Take in one more between two answers, if any is there.

        If it were one between two waits, the hundredth of a crowd would come in when those before
        had been answered a hundred times.
        """
        if self.alive and self._accepting:
            self.accept(door)

    def _answer(self, conn: TConn) -> Callable[[], None]:
        """Answer a request; return what is left to do for whoever has the loop."""
        self._is_taking_in = False
        try:
            stays = self.handle(conn)
        except BaseException:  # `sys.exit()` in a view, say: it ends the worker, as ever
            self.log.exception("Exception in worker process")
            self.alive = stays = False
        if stays:
            return partial(self.finish_request, conn, _Answered(stays))
        # Here, not in `finish_request`: it may wait two seconds for the client to close first.
        with suppress(OSError):
            conn.close(graceful=True)
        return self._count_out

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Let the app answer a request, and tell whether the connection stays open.

        What is plain is answered here as gunicorn does, but in one go (`PlainResponse`).
        """
        if not isinstance(req, PlainRequest):
            stays: bool = super().handle_request(req, conn)
            return stays
        response: PlainResponse | None = None
        environ: dict[str, Any] = {}
        begun = datetime.now(UTC)
        try:
            self.cfg.pre_request(self, req)
            response, environ = conn.parser.begin(req, conn)
            self._count_in(response)
            answer = self.wsgi(environ, response.start_response)
            try:
                response.write_all(answer)
            finally:
                self.log.access(response, req, environ, datetime.now(UTC) - begun)
                if hasattr(answer, "close"):
                    answer.close()
            return not response.should_close()
        except (Exception, SystemExit) as error:
            if isinstance(error, OSError) or response is None or not response.headers_sent:
                raise  # to `handle`, which can still answer with an error, or has nobody to answer
            self.log.exception("Error handling request")
            close_graceful(conn.sock)
            raise StopIteration from None
        finally:
            try:
                self.cfg.post_request(self, req, environ, response)
            except Exception:
                self.log.exception("Exception in post_request hook")

    def _count_in(self, response: PlainResponse) -> None:
        """Count an answer, which may be the last one of this worker or of its connection."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        keeps = self.cfg.keepalive and len(self.keepalived_conns) < self.max_keepalived
        if not (self.alive and keeps):
            response.force_close()

    def _count_out(self) -> None:
        self.nr_conns -= 1
        if self.alive and self.nr_conns < self.worker_connections:
            self.set_accept_enabled(True)


class _Answered:
    """What `finish_request` asks of a future."""

    def __init__(self, result: object) -> None:
        self._result = result

    def cancelled(self) -> bool:
        """Tell that it was answered."""
        return False

    def result(self) -> object:
        """Return whether the connection stays open."""
        return self._result


def _nothing() -> None:
    """Do nothing; to be called is enough."""
