"""Read by `gunicorn` in this folder: that one word starts the service (docs/operations.md).

What the command line or GUNICORN_CMD_ARGS say wins over it.
"""

import atexit
import gc
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from resource_server import gunicorn_support, logs
from resource_server.settings import SettingsError, load_server_settings

try:
    _settings = load_server_settings()
except SettingsError as error:
    gunicorn_support.stop(error.format_message())

gunicorn_support.install()


def _metrics_directory() -> str:
    """Choose where workers keep their metrics: what the environment says, else a folder of ours.

    It bears the number of the process that made it. A reload finds it again; the new master of an
    upgrade without pause (USR2) makes its own, since the old one takes its own away when it goes.
    """
    given = _settings.prometheus_multiproc_dir
    prefix = f"resource-server-metrics-{os.getpid()}-"
    name = Path(given or "").name
    try:
        if given and (name.startswith(prefix) or not name.startswith("resource-server-metrics-")):
            Path(given).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=given).close()
            return given
        return tempfile.mkdtemp(prefix=prefix)
    except OSError as error:
        gunicorn_support.stop(
            f"Metrics cannot be written to {given or 'the temporary folder'}: {error.strerror}. "
            "Set PROMETHEUS_MULTIPROC_DIR or TMPDIR to a folder that this user can write to."
        )
        raise


def _remove_metrics_directory() -> None:
    """Take the folder of metrics away, if this process made it."""
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if directory.name.startswith(f"resource-server-metrics-{os.getpid()}-"):
        shutil.rmtree(directory, ignore_errors=True)


# Before prometheus_client is imported, which looks at it once.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory()
atexit.register(_remove_metrics_directory)  # however the master ends: workers have other numbers

from prometheus_client import multiprocess, values  # noqa: E402 - see above

_slot = 0


def _current_slot() -> int:
    return _slot


# A worker's files bear the number of its place, not of its process: the next one in its place goes
# on counting in them, where otherwise each restart would leave files to be read for ever.
values.ValueClass = values.MultiProcessValue(_current_slot)


class ErrorLog(Logger):
    """gunicorn's own messages, as lines like all others.

    gunicorn makes its log first, and sets it up at each reload: the one place that sees the
    whole configuration, with the command line, before a worker class is imported or a port bound.
    """

    def setup(self, cfg: Any) -> None:
        """Set its handlers up, then change how they write."""
        super().setup(cfg)
        formatter = logs.JSONFormatter() if _settings.log_format == "json" else None
        for handler in self.error_log.handlers:
            if formatter is not None:
                handler.setFormatter(formatter)
        logs.quieten_servers()
        gunicorn_support.check_worker_class(cfg.worker_class_str)
        # The app leaves one of these threads free, also if the command line chose their number.
        os.environ["GUNICORN_THREADS"] = str(cfg.threads)
        if _settings.management_port is not None:
            host, port = str(_settings.management_host), _settings.management_port
            management = gunicorn_support.address(host, port)
            # Beside the addresses of --bind. For it systemd hands over a socket.
            bound = [each for each in cfg.bind if each not in management]
            cfg.set("bind", [*bound, *management])


wsgi_app = "wsgi:app"
if _settings.port is not None:
    bind = gunicorn_support.every_address(_settings.port)
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
# Each header but a token is short. Together they are bounded by gunicorn_support.
limit_request_fields = 100
# Who calls, by which scheme and under which mount, is read by the app from what TRUSTED_PROXY_HOPS
# names. gunicorn would believe any peer on loopback or on a Unix socket.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
control_socket_disable = True
logger_class = ErrorLog
accesslog = None  # the service writes a line for each request: route, no path


def nworkers_changed(server: Any, _new: int, old: int | None) -> None:
    """Watch over the loading of the app: gunicorn calls this first, and before it loads the app."""
    if old is None:
        gunicorn_support.report_load_errors_once(server)


def on_starting(server: Any) -> None:
    """Report a port that is in use once: gunicorn itself does so at each of five attempts."""
    is_handed_over = os.environ.get("LISTEN_PID") == str(os.getpid())  # by systemd
    if not is_handed_over and "GUNICORN_FD" not in os.environ:  # or by the master before (USR2)
        gunicorn_support.wait_for_ports(server.cfg)


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
