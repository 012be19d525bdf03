"""Workers killed, replaced, recycled and ended while clients ask."""

import os
import signal
import threading
import time

from soak.daemons import wait_until
from soak.findings import Findings, counts, milliseconds, scenario
from soak.lab import Lab
from soak.load import Load, numbers


@scenario(
    "`kill -9` of a worker",
    "no acknowledged write is lost; only requests on the killed worker's own connections fail; "
    "gunicorn replaces it",
)
def killed(lab: Lab, findings: Findings) -> None:
    """Kill one of two workers in the middle of a load."""
    service = lab.shared()
    plan = numbers(lab.tokens(service.port))
    before = service.workers()
    with Load([service.port], plan) as load:
        time.sleep(1.5)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        replaced = wait_until(lambda: len(service.workers() - before) == 1, 30)
        wait_until(lambda: len(service.ready_workers()) == 2, 30)
        time.sleep(1.5)
    failed = [record for record in load.records if record.fault]
    others = [record for record in failed if record.worker not in {str(victim), ""}]
    findings.see(f"a new worker after {milliseconds(replaced)}; {counts(load.records)}")
    findings.hold(len(failed) <= 10, f"{len(failed)} requests of 10 clients failed")
    findings.hold(not others, f"{counts(others)} on connections of the other worker")
    findings.all_good([r for r in load.records if not r.fault], "answers")
    findings.no_surprise(load.records)
    lab.balance(load.records, findings)


@scenario("`HUP`: reload under load", "no request is dropped, whether connections are kept or new")
def reloaded(lab: Lab, findings: Findings) -> None:
    """Replace all workers under kept connections and new ones."""
    service = lab.shared()
    plan = numbers(lab.tokens(service.port))
    with (
        Load([service.port], plan, clients=5, rate=30) as kept,
        Load([service.port], plan, clients=5, rate=30, keep_alive=False) as fresh,
    ):
        time.sleep(1)
        took = [service.reload() for _ in range(1 if lab.short else 5)]
        wait_until(lambda: len(service.ready_workers()) == 2, 30)
        time.sleep(1)
    records = kept.records + fresh.records
    findings.see(f"{len(took)} in {milliseconds(max(took))} at most: {counts(records)}")
    longest = max(record.seconds for record in records)
    findings.see(f"longest wait {milliseconds(longest)}: new workers start before they serve")
    findings.all_good(kept.records, "on kept connections")
    findings.all_good(fresh.records, "on new connections")
    findings.no_surprise(records)
    lab.balance(records, findings)


@scenario(
    "`SIGTERM` of gunicorn under load",
    "every request that was accepted is answered; later ones are refused at the door; exit code 0",
)
def ended(lab: Lab, findings: Findings) -> None:
    """End an instance of its own in the middle of a load."""
    with lab.instance() as service:
        plan = numbers(lab.tokens(service.port))
        with (
            Load([service.port], plan, clients=5, rate=30) as kept,
            Load([service.port], plan, clients=5, rate=30, keep_alive=False) as fresh,
        ):
            time.sleep(1.5)
            code, took = service.end()
    records = kept.records + fresh.records
    dropped = [record for record in records if record.fault and record.fault != "refused"]
    findings.see(f"ended in {milliseconds(took)}; {counts(records)}")
    findings.hold(code == 0, f"exit code {code}")
    findings.hold(not dropped, f"{counts(dropped)} after they were sent")
    findings.all_good([r for r in records if not r.fault], "answers")
    lab.balance(records, findings)


@scenario(
    "workers recycled by `max_requests`",
    "no request is dropped while a worker that served its share is replaced",
)
def recycled(lab: Lab, findings: Findings) -> None:
    """Let workers end after 80 to 100 requests each."""
    with lab.instance("--max-requests", "80", "--max-requests-jitter", "20") as service:
        plan = numbers(lab.tokens(service.port))
        seen: set[int] = set()
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                seen.update(service.workers())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        with (
            Load([service.port], plan, clients=5, rate=40) as kept,
            Load([service.port], plan, clients=5, rate=40, keep_alive=False) as fresh,
        ):
            time.sleep(4 if lab.short else 30)
            wait_until(lambda: len(seen) > 2, 60)
        stop.set()
        watcher.join()
    records = kept.records + fresh.records
    findings.see(f"{len(seen)} workers one after the other; {counts(records)}")
    findings.hold(len(seen) > 2, "no worker was replaced")
    findings.all_good(kept.records, "on kept connections")
    findings.all_good(fresh.records, "on new connections")
    lab.balance(records, findings)
