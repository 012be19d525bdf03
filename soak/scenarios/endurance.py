"""Full load for minutes."""

import time

from soak.findings import Findings, counts, milliseconds, p99, scenario
from soak.lab import Lab
from soak.load import Load, numbers

_MEGABYTE = 2**20


@scenario(
    "full load",
    "no error; memory of the workers flat after the first fifth; p99 of the last third no worse "
    "than twice that of the first",
)
def full_load(lab: Lab, findings: Findings) -> None:
    """Ask as fast as the answers come."""
    seconds = 8 if lab.short else 60 * lab.minutes
    # Workers that are replaced would begin with fresh memory.
    with lab.instance("--max-requests", "0") as service:
        plan = numbers(lab.tokens(service.port), writes=0.3)
        workers = service.workers()
        with Load([service.port], plan, clients=8, rate=None) as load:
            time.sleep(seconds / 5)
            settled = service.resident()
            time.sleep(seconds * 4 / 5)
            last = service.resident()
        same = service.workers() == workers
    records = load.records
    start = records[0].due
    third = seconds / 3
    first = load.between(start, start + third)
    final = load.between(start + 2 * third, start + seconds)
    grown = (last - settled) / settled
    findings.see(f"{milliseconds(seconds)}, {len(records) / seconds:.0f} requests/s")
    findings.see(counts(records))
    findings.see(
        f"memory {settled / _MEGABYTE:.0f} MB after a fifth, {last / _MEGABYTE:.0f} MB at the end"
    )
    findings.see(f"p99 {milliseconds(p99(first))}, at the end {milliseconds(p99(final))}")
    findings.hold(grown < 0.05, f"memory grew by {grown:.0%}")
    findings.hold(same, "workers died or were replaced")
    findings.hold(p99(final) <= 2 * p99(first) + 0.05, "p99 grew")
    findings.all_good(records, "answers")
    findings.no_surprise(records)
    lab.balance(records, findings)
