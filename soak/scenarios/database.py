"""PostgreSQL away and back."""

import time

from soak.daemons import wait_until
from soak.findings import Findings, counts, milliseconds, scenario
from soak.lab import Lab
from soak.load import Load, numbers, sign_ins
from soak.neighbours import PASSWORD, USERS


def _outage(lab: Lab, findings: Findings, *, crash: bool) -> None:
    service = lab.shared()
    plan = numbers(lab.tokens(service.port))
    before = service.workers()
    with (
        Load([service.port], plan) as load,
        Load([service.port], sign_ins(USERS[0], PASSWORD), clients=2, rate=2) as logins,
    ):
        time.sleep(1.5)
        stopped = time.monotonic()
        lab.postgres.go_away(crash=crash)
        gone = time.monotonic()
        time.sleep(1.5 if lab.short else 10)
        alive, ready = service.status("/healthz"), service.status("/readyz")
        returning = time.monotonic()
        lab.postgres.come_back()
        back = time.monotonic()
        wait_until(lambda: service.status("/readyz") == 200, 30)
        time.sleep(3)
    away = load.between(gone, returning)
    answered = [record for record in load.records if 200 <= record.status < 300]
    recovered = min((r.ended for r in answered if r.sent >= gone), default=float("inf")) - back
    after = [record for record in load.records if record.sent >= back + 2]
    findings.see(f"away {back - gone:.1f} s: {counts(away)}")
    findings.see(f"first answer {milliseconds(max(0.0, recovered))} after its return")
    findings.hold({record.status for record in away} == {503}, f"while away: {counts(away)}")
    findings.hold((alive, ready) == (200, 503), f"/healthz {alive}, /readyz {ready}")
    findings.hold(recovered <= 2, "no answer within 2 s of its return")
    findings.all_good(after, "from 2 s after its return")
    findings.all_good(logins.between(gone, returning), "sign-ins, which need no database")
    findings.all_good([r for r in load.records if r.ended < stopped], "before")
    findings.hold(service.workers() == before, "workers were replaced")
    findings.no_surprise(load.records + logins.records)
    lab.balance(load.records, findings)


@scenario(
    "PostgreSQL stopped and started",
    "503 with Retry-After while away, sign-ins go on; served again within 2 s without a restart; "
    "no acknowledged write lost, none doubled",
)
def stopped(lab: Lab, findings: Findings) -> None:
    """Stop it as an operator does."""
    _outage(lab, findings, crash=False)


@scenario("PostgreSQL crashed (`SIGQUIT`) and started", "the same")
def crashed(lab: Lab, findings: Findings) -> None:
    """Stop it without a checkpoint or a word to its clients."""
    _outage(lab, findings, crash=True)
