"""The metrics of one app, in Prometheus's terms; docs/operations.md says what each is for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Seconds. A read takes milliseconds, a sign-in what Cognito takes.
_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All that one app counts.

    `directory` is where the processes of one server keep their numbers (prometheus_client's
    multi-process mode, gunicorn.conf.py); None for a single process. Gauges say how they are put
    together: the oldest keys of any worker, the connections of all.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "resource_server_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=registry,
        )
        self.durations = Histogram(
            "resource_server_request_duration_seconds",
            "Time to answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        # Found by one look instead of two, each with a lock and a text made of every label.
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.refusals = Counter(
            "resource_server_refusals",
            "Requests refused, by the reason that the log has",
            ["reason"],
            registry=registry,
        )
        self.verifications = Counter(
            "resource_server_token_verifications",
            "Access tokens judged: verified, cached (verified before), refused",
            ["result", "reason"],
            registry=registry,
        )
        self.key_downloads = Counter(
            "resource_server_key_downloads",
            "Downloads of a pool's keys",
            ["pool", "outcome"],
            registry=registry,
        )
        self.stale_keys = Counter(
            "resource_server_stale_key_serves",
            "Uses of keys that were due for a refresh",
            ["pool"],
            registry=registry,
        )
        self.key_age = Gauge(
            "resource_server_key_age_seconds",
            "Age of a pool's keys, when a worker last answered; of the oldest",
            ["pool"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.denied = Gauge(
            "resource_server_deny_list_entries",
            "Entries of the deny list in memory",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.deny_list_age = Gauge(
            "resource_server_deny_list_age_seconds",
            "Age of the deny list, when a token was last held against it; of the oldest",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.connections = Gauge(
            "resource_server_database_connections_in_use",
            "Connections to the database that requests hold",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.cognito_calls = Histogram(
            "resource_server_cognito_call_duration_seconds",
            "Time of calls of Cognito; `error` is its error code, or `none`",
            ["operation", "error"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def count_answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by its three labels, and the time that it took."""
        counters = self._answered.get((method, route, status))
        if counters is None:
            counters = self._answered[method, route, status] = (
                self.requests.labels(method, route, status),
                self.durations.labels(method, route),
            )
        counters[0].inc()
        counters[1].observe(seconds)

    def exposition(self) -> bytes:
        """Return all numbers, of all processes, in Prometheus's text format."""
        registry = self._registry
        if self._directory is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._directory)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
