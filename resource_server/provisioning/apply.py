"""The calls of a plan, made."""

from collections.abc import Callable

from resource_server.provisioning.aws import Aws
from resource_server.provisioning.plan import Plan, Step

_POLL = {"Delay": 1, "MaxAttempts": 60}  # seconds, times


class Blocked(Exception):
    """Nothing was done, since something must be decided first: `reasons` say what."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def apply(aws: Aws, plan: Plan, *, done: Callable[[Step], object] = lambda _: None) -> None:
    """Make every call of a plan, in order, and tell `done` of each.

    What is done stays done if a later call fails: a plan made anew has only the rest.

    Raises Blocked before anything is changed, ClientError or BotoCoreError in between.
    """
    if plan.blocked:
        raise Blocked(plan.blocked)
    for step in plan.steps:
        client = getattr(aws, step.service)
        getattr(client, step.operation)(**step.parameters)
        if step.waiter is not None:
            name = step.parameters["FunctionName"]
            client.get_waiter(step.waiter).wait(FunctionName=name, WaiterConfig=_POLL)
        done(step)
