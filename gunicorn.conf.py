"""Read by `gunicorn` in this folder: that one word starts the service (docs/operations.md).

What the command line or GUNICORN_CMD_ARGS say wins over it.
"""

import gc
import logging
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from resource_server.logs import JSONFormatter
from resource_server.settings import ServerSettings

_settings = ServerSettings()


def _metrics_directory() -> str:
    """Choose where workers keep their metrics: what the environment says, else a folder of ours.

    It bears the number of the process that made it. A reload finds it again; the new master of an
    upgrade without pause (USR2) makes its own, since the old one takes its own away when it goes.
    """
    given = _settings.prometheus_multiproc_dir
    prefix = f"resource-server-metrics-{os.getpid()}-"
    name = Path(given or "").name
    if given and (name.startswith(prefix) or not name.startswith("resource-server-metrics-")):
        return given
    return tempfile.mkdtemp(prefix=prefix)


# Before prometheus_client is imported, which looks at it once.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory()

from prometheus_client import multiprocess, values  # noqa: E402 - see above

_slot = 0


def _current_slot() -> int:
    return _slot


# A worker's files bear the number of its place, not of its process: the next one in its place goes
# on counting in them, where otherwise each restart would leave files to be read for ever.
values.ValueClass = values.MultiProcessValue(_current_slot)


class ErrorLog(Logger):
    """gunicorn's own messages, as lines like all others."""

    def setup(self, cfg: Any) -> None:
        """Set its handlers up, then change how they write."""
        super().setup(cfg)
        if _settings.log_format == "json":
            for handler in self.error_log.handlers:
                handler.setFormatter(JSONFormatter())


wsgi_app = "wsgi:app"
workers = _settings.workers
worker_class = "resource_server.worker.Worker"  # gthread, but quicker, and without losing requests
threads = _settings.gunicorn_threads

timeout = 30
graceful_timeout = _settings.gunicorn_graceful_timeout
# Longer than load balancers keep idle connections (AWS: 60 s), so that it is they who close them.
keepalive = 75
# Against memory that only grows, in whatever library; the jitter keeps workers from going at once.
max_requests = _settings.gunicorn_max_requests
max_requests_jitter = max_requests // 10

# A token of a user in a hundred groups has 24,000 characters, and the verifier reads 32,768;
# gunicorn's own limit for a header, 8,190, would answer with a page of HTML.
limit_request_field_size = 33_000
control_socket_disable = True
logger_class = ErrorLog
accesslog = None  # the service writes a line for each request: route, no path


def pre_fork(server: Any, worker: Any) -> None:
    """Give a worker the lowest place that is free; only who is gone has left its place."""
    taken = {getattr(other, "slot", 0) for other in server.WORKERS.values()}
    worker.slot = next(place for place in count(1) if place not in taken)
    # What is here by now stays for good: the collector, which writes into all that it visits, would
    # make each worker copy the pages that it shares with this process.
    gc.freeze()


def post_fork(_server: Any, worker: Any) -> None:
    """Let this process count in its own files."""
    global _slot  # noqa: PLW0603 - what differs between processes made by a fork
    _slot = worker.slot


def post_worker_init(worker: Any) -> None:
    """Begin with connections of its own and, before the first request, with keys and deny list.

    Not in `post_fork`: without --preload a worker has no app there yet.
    """
    app = worker.wsgi
    with app.app_context():
        for engine in app.extensions["sqlalchemy"].engines.values():
            engine.dispose(close=False)  # what --preload opened is the parent's to close
    services = app.extensions["resource_server"]
    services.verifier.ready()
    services.revocations.ready()
    gc.collect()
    gc.freeze()  # the app is no garbage: 166,000 objects, to look at each took a tenth of a second


def child_exit(_server: Any, worker: Any) -> None:
    """Take back what a worker said of the present; what it counted stays."""
    multiprocess.mark_process_dead(worker.slot)


def on_exit(_server: Any) -> None:
    """Take the folder of metrics away, if this process made it."""
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if directory.name.startswith(f"resource-server-metrics-{os.getpid()}-"):
        shutil.rmtree(directory, ignore_errors=True)
        logging.getLogger("gunicorn.error").debug("removed %s", directory)
