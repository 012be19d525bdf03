"""How long Cognito takes and what it answers, read off botocore's events."""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resource_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

_BEGUN, _OPERATION = "resource_server.begun", "resource_server.operation"
_CODE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)


def watch(
    client: "CognitoIdentityProviderClient", metrics: Metrics | None
) -> "CognitoIdentityProviderClient":
    """Count a client's calls, attempts of one call as one; without `metrics`, do nothing.

    Errors are counted by Cognito's code, those without any by the class of the exception.
    """
    if metrics is None:
        return client

    def begins(model: Any, context: dict[str, Any], **_: object) -> None:
        context[_BEGUN], context[_OPERATION] = time.perf_counter(), model.name

    def ends(context: dict[str, Any], error: str) -> None:
        seconds = time.perf_counter() - context[_BEGUN]
        metrics.cognito_calls.labels(context[_OPERATION], error).observe(seconds)

    def answers(parsed: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        ends(context, _name(parsed["Error"].get("Code", "")) if "Error" in parsed else "none")

    def fails(exception: Exception, context: dict[str, Any], **_: object) -> None:
        # A connection's errors have a `response`, too: None.
        response: Mapping[str, Any] = getattr(exception, "response", None) or {}
        code = response.get("Error", {}).get("Code", type(exception).__name__)
        ends(context, _name(code))

    events = client.meta.events
    events.register("before-parameter-build.cognito-idp", begins)
    events.register("after-call.cognito-idp", answers)
    events.register("after-call-error.cognito-idp", fails)
    return client


def _name(code: str) -> str:
    """Keep what is a code; a server that is none of Cognito's may say anything."""
    return code if _CODE.fullmatch(code) else "other"
