"""Two instances on two ports behind nginx, as on two machines, sharing PostgreSQL and Redis."""

import time

from soak import neighbours
from soak.daemons import free_port
from soak.findings import Findings, counts, milliseconds, scenario
from soak.instance import ask, sign_in
from soak.lab import POLL_SECONDS, Lab
from soak.load import Load, numbers

_LIMIT = 10


@scenario(
    "two instances behind nginx: sign-out",
    f"refused at once where it was asked for, by the other within {POLL_SECONDS:g} s, for good",
)
def signed_out(lab: Lab, findings: Findings) -> None:
    """Sign out on one instance and ask the other."""
    with lab.instance(workers=1) as one, lab.instance(workers=1) as two:
        proxy, port = neighbours.nginx(lab.home, [one.port, two.port])
        try:
            tokens = lab.tokens(port)
            with Load([port], numbers(tokens), clients=6, rate=30) as load:
                delays = []
                for _ in range(2 if lab.short else 10):
                    token = sign_in(port, neighbours.USERS[0])
                    for instance in (one, two):
                        findings.hold(
                            instance.status("/randoms", token) == 200, "a new token was refused"
                        )
                    status, _, _ = ask(one.port, "POST", "/users/logout", token=token)
                    told = time.monotonic()
                    findings.hold(status == 200, f"sign-out: {status}")
                    findings.hold(
                        one.status("/randoms", token) == 401, "it still counts where it was ended"
                    )
                    while two.status("/randoms", token) != 401 and time.monotonic() < told + 10:
                        time.sleep(0.02)
                    delays.append(time.monotonic() - told)
                    again = {ask(port, "GET", "/randoms", token=token)[0] for _ in range(6)}
                    findings.hold(again == {401}, f"later: {again}")
        finally:
            proxy.end()
    findings.see(f"refused by the other after {milliseconds(max(delays))} at most")
    findings.see(f"beside it {counts(load.records)}")
    findings.hold(max(delays) <= POLL_SECONDS + 0.5, f"took {milliseconds(max(delays))}")
    findings.all_good(load.records, "the others")
    findings.hold(
        len({record.worker for record in load.records}) == 2, "nginx asked one instance alone"
    )
    lab.balance(load.records, findings)


@scenario(
    "two instances: limits",
    "sign-ins are counted in Redis: as many in all as one process would allow",
)
def limited(lab: Lab, findings: Findings) -> None:
    """Spend the limit of one name on both instances in turn."""
    port = free_port()
    store = lab.neighbour(neighbours.redis(lab.home, port))
    uri, limit = f"redis://127.0.0.1:{port}", f"{_LIMIT}/hour"
    form = f"username={neighbours.USERS[0]}&password={neighbours.PASSWORD}"
    with (
        lab.instance(RATELIMIT_STORAGE_URI=uri, RATELIMIT_SIGN_IN_PER_NAME=limit) as one,
        lab.instance(RATELIMIT_STORAGE_URI=uri, RATELIMIT_SIGN_IN_PER_NAME=limit) as two,
    ):
        answers = []
        for turn in range(3 * _LIMIT):
            port = (one.port, two.port)[turn % 2]
            status, headers, _ = ask(port, "POST", "/users/login", form=form)
            answers.append((status, "Retry-After" in headers))
    store.end()
    allowed = [status for status, _ in answers].count(200)
    findings.see(f"limit {_LIMIT}: {allowed} of {len(answers)} sign-ins allowed, by four workers")
    findings.hold(allowed == _LIMIT, f"{allowed} instead of {_LIMIT} allowed")
    findings.hold(set(answers[_LIMIT:]) == {(429, True)}, f"then: {set(answers[_LIMIT:])}")


@scenario(
    "Redis killed under load",
    "no 500 and no stall: limits are counted in each process until it is back",
)
def redis_killed(lab: Lab, findings: Findings) -> None:
    """Kill Redis, sign in without it, and bring it back."""
    port = free_port()
    store = lab.neighbour(neighbours.redis(lab.home, port))
    uri = f"redis://127.0.0.1:{port}"
    form = f"username={neighbours.USERS[0]}&password={neighbours.PASSWORD}"
    statuses: list[int] = []

    def try_sign_in() -> None:
        status, _, _ = ask(service.port, "POST", "/users/login", form=form)
        statuses.append(status)

    with lab.instance(RATELIMIT_STORAGE_URI=uri) as service:
        plan = numbers(lab.tokens(service.port))
        with Load([service.port], plan) as load:
            time.sleep(1)
            try_sign_in()
            store.process.kill()
            store.process.wait()
            killed = time.monotonic()
            for _ in range(3):
                try_sign_in()
            took = (time.monotonic() - killed) / 3
            time.sleep(2 if lab.short else 20)
            store = lab.neighbour(neighbours.redis(lab.home, port))
            time.sleep(1)
            try_sign_in()
        store.end()
    findings.see(f"sign-ins {statuses}, {milliseconds(took)} each without Redis")
    findings.see(f"others {counts(load.records)}")
    findings.hold(set(statuses) <= {200, 429} and 200 in statuses, f"sign-ins: {statuses}")
    findings.hold(took < 2, f"a sign-in took {milliseconds(took)} without Redis")
    findings.all_good(load.records, "the others")
    findings.no_surprise(load.records)
    lab.balance(load.records, findings)
