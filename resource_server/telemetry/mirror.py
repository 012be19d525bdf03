"""What the token core and the deny list count by themselves, carried over to the metrics."""

import math
import threading
from collections.abc import Callable

from prometheus_client import Counter

from resource_server.revocations.snapshot import DenyListSnapshot
from resource_server.telemetry.metrics import Metrics
from resource_server.tokens import CognitoVerifier
from resource_server.tokens.clocks import elapsed

_SECONDS = 1.0


class Mirror:
    """Carries numbers over at the end of requests, at most once a second.

    A collector that asks the verifier at each scrape would tell of one worker out of many: the
    one that is asked. The verifier in turn knows of no metrics. So each worker writes its own
    numbers down, whoever is asked for them; a worker without requests has nothing new to say.
    """

    def __init__(
        self,
        metrics: Metrics,
        verifier: CognitoVerifier,
        deny_list: DenyListSnapshot,
        *,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._metrics = metrics
        self._verifier = verifier
        self._deny_list = deny_list
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[Counter, tuple[str, ...]], float] = {}
        self._due = -math.inf

    def carry(self, *, now: bool = False) -> None:
        """Write down what happened since the last time, if that was a second ago; or `now`."""
        if not now and self._clock() < self._due:
            return
        with self._lock:
            self._due = self._clock() + _SECONDS
            self._carry_tokens()
            self._carry_deny_list()

    def _carry_tokens(self) -> None:
        metrics, stats = self._metrics, self._verifier.stats()
        self._advance(metrics.verifications, ("verified", "none"), stats.verified)
        self._advance(metrics.verifications, ("cached", "none"), stats.cache_hits)
        for reason, times in stats.refused.items():
            self._advance(metrics.verifications, ("refused", reason), times)
        for pool, keys in stats.keys.items():
            self._advance(metrics.key_downloads, (pool, "succeeded"), keys.downloads)
            self._advance(metrics.key_downloads, (pool, "failed"), keys.failed_downloads)
            self._advance(metrics.stale_keys, (pool,), keys.stale_serves)
            if keys.age is not None:
                metrics.key_age.labels(pool).set(keys.age)

    def _carry_deny_list(self) -> None:
        self._metrics.denied.set(len(self._deny_list))
        if self._deny_list.checked_age is not None:
            self._metrics.deny_list_age.set(self._deny_list.checked_age)

    def _advance(self, counter: Counter, labels: tuple[str, ...], total: float) -> None:
        counted = counter.labels(*labels)  # there with 0, too: a rate needs a beginning
        counted.inc(total - self._seen.get((counter, labels), 0))
        self._seen[counter, labels] = total
