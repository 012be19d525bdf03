"""Cognito slow, failing, throttling, silent, away."""

import time

from soak.daemons import wait_until
from soak.faulty import Fault
from soak.findings import Findings, counts, middle, milliseconds, p99, scenario
from soak.lab import Lab
from soak.load import Load, numbers, sign_ins
from soak.neighbours import PASSWORD, USERS


def _fault(lab: Lab, findings: Findings, fault: Fault, statuses: set[int], rate: float) -> None:
    service = lab.shared()
    plan = numbers(lab.tokens(service.port))
    seconds = 2.5 if lab.short else 20
    with Load([service.port], plan, rate=40) as load:
        time.sleep(0.5)
        calm_from = time.monotonic()
        time.sleep(1 if lab.short else 10)
        lab.cognito.set(fault)
        broken = time.monotonic()
        with Load([service.port], sign_ins(USERS[0], PASSWORD), clients=12, rate=rate) as logins:
            time.sleep(seconds)
            mended = time.monotonic()
        waited = time.monotonic() - mended
        lab.mend()
        form = f"username={USERS[0]}&password={PASSWORD}"
        recovered = wait_until(lambda: service.ask("POST", "/users/login", form=form)[0] == 200, 30)
    calm, during = load.between(calm_from, broken), load.between(broken, mended)
    findings.see(f"sign-ins: {counts(logins.records)} in {milliseconds(middle(logins.records))}")
    findings.see(
        f"others: median {milliseconds(middle(calm))} before, {milliseconds(middle(during))} "
        f"meanwhile, p99 {milliseconds(p99(during))}"
    )
    wrong = [record for record in logins.records if record.status not in statuses]
    findings.hold(not wrong, f"sign-ins: {counts(wrong)}")
    findings.all_good(load.records, "requests that need no Cognito")
    # The sign-ins cost the machine something too, and others may share it: what is held is that
    # nobody waits for a thread, which shows as seconds.
    allowed = 5 * middle(calm) + 0.25
    findings.hold(
        middle(during) <= allowed,
        f"others took {milliseconds(middle(during))} instead of {milliseconds(middle(calm))}",
    )
    findings.hold(
        p99(during) <= 3 * p99(calm) + 1,
        f"others waited for threads: p99 {milliseconds(p99(during))}",
    )
    findings.hold(waited < 20, f"the last sign-in took {milliseconds(waited)}")
    findings.hold(recovered < 3, f"no sign-in until {milliseconds(recovered)} after its return")
    findings.no_surprise(load.records + logins.records)


@scenario(
    "Cognito slow (2 s an answer)", "sign-ins wait for it or get 503; others go on at full speed"
)
def slow(lab: Lab, findings: Findings) -> None:
    """Delay every answer."""
    _fault(lab, findings, Fault.SLOW, {200, 503}, rate=8)


@scenario("Cognito answers 500", "sign-ins get 503 with Retry-After; others go on at full speed")
def failing(lab: Lab, findings: Findings) -> None:
    """Answer InternalErrorException."""
    _fault(lab, findings, Fault.ERROR, {503}, rate=4)


@scenario("Cognito throttles", "sign-ins get 429 with Retry-After; others go on at full speed")
def throttling(lab: Lab, findings: Findings) -> None:
    """Answer TooManyRequestsException."""
    _fault(lab, findings, Fault.THROTTLE, {429}, rate=4)


@scenario("Cognito refuses connections", "as with 500")
def away(lab: Lab, findings: Findings) -> None:
    """Close its port."""
    _fault(lab, findings, Fault.REFUSE, {503}, rate=4)


@scenario(
    "Cognito never answers",
    "sign-ins get 503 within 20 s, as 8 sign-ins a second come; others go on at full speed",
)
def silent(lab: Lab, findings: Findings) -> None:
    """Take connections and say nothing."""
    _fault(lab, findings, Fault.HANG, {503}, rate=8)
