"""The pool's keys (JWKS) away."""

import time

from soak.daemons import wait_until
from soak.faulty import Fault
from soak.findings import Findings, counts, milliseconds, scenario
from soak.lab import Lab
from soak.load import Load, numbers


@scenario(
    "JWKS away, workers warm",
    "requests go on with the keys at hand, past their soft age too; no worker waits for keys",
)
def warm(lab: Lab, findings: Findings) -> None:
    """Take the keys away from workers that have them, whose refresh is due each second."""
    with lab.instance(JWKS_REFRESH_SECONDS="1") as service:
        plan = numbers(lab.tokens(service.port))
        lab.keys.set(Fault.HANG)
        asked = lab.keys.requests
        with Load([service.port], plan) as load:
            time.sleep(3 if lab.short else 60)
        lab.mend()
    tried = lab.keys.requests - asked
    findings.see(f"{counts(load.records)}; {tried} downloads tried meanwhile")
    findings.hold(tried > 0, "no refresh was due")
    findings.all_good(load.records, "answers")
    findings.no_surprise(load.records)
    lab.balance(load.records, findings)


@scenario(
    "JWKS away, workers cold",
    "503 with Retry-After, never 401; /healthz 200, /readyz 503; served within a second and a half "
    "of its return",
)
def cold(lab: Lab, findings: Findings) -> None:
    """Start while the keys are away, and bring them back."""
    tokens = lab.tokens(lab.shared().port)
    lab.keys.set(Fault.REFUSE)
    service = lab.begin()
    try:
        service.daemon.wait_until(lambda: service.status("/healthz") == 200)
        with Load([service.port], numbers(tokens)) as load:
            time.sleep(2.5)
            ready = service.status("/readyz")
            returned = time.monotonic()
            lab.mend()
            wait_until(lambda: len(service.ready_workers()) == 2, 30)
            time.sleep(1.5)
    finally:
        service.daemon.end()
    away = [record for record in load.records if record.ended < returned]
    good = [record for record in load.records if 200 <= record.status < 300]
    refused = [record.sent for record in load.records if record.status == 503]
    last = max((r - returned for r in refused), default=0.0)
    findings.see(f"{counts(away)} while away; last 503 {milliseconds(max(0.0, last))} after")
    findings.hold({record.status for record in away} == {503}, f"while away: {counts(away)}")
    findings.hold(ready == 503, f"/readyz {ready} without keys")
    findings.hold(bool(good), "never served")
    findings.hold(last <= 1.5, f"still 503 {milliseconds(last)} after its return")
    findings.no_surprise(load.records)
    lab.balance(load.records, findings)
