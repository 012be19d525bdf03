"""What wrk is asked, and what is made of its answer."""

import json
from typing import Any

import pytest

from benchmarks.wrk import LoadFailed, parse

_REPORT = """\
Running 2s test @ http://127.0.0.1:41001
  1 threads and 16 connections
  Latency Distribution
     50%   12.91ms
     99%   20.65ms
  2402 requests in 2.00s, 3.84MB read
RESULT {}
"""


def _printed(errors: dict[str, int] | None = None, **changed: int) -> str:
    none = dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0)
    found: dict[str, Any] = {
        "requests": 2402,
        "microseconds": 2_003_061,
        "p50_us": 12_907,
        "p99_us": 20_646,
        "errors": none | (errors or {}),
    }
    return _REPORT.replace("{}", json.dumps(found | changed))


def test_a_run_without_errors_is_read() -> None:
    """Requests a second are of the time that wrk took, latencies are milliseconds."""
    found = parse(_printed())
    assert found.per_second == pytest.approx(1199.2, abs=0.1)
    assert (found.requests, found.p50_ms, found.p99_ms) == (2402, 12.907, 20.646)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
def test_one_error_spoils_a_run(kind: str) -> None:
    """A single request without a good answer makes the run worthless, and the text says which."""
    with pytest.raises(LoadFailed, match=f"'{kind}': 1"):
        parse(_printed({kind: 1}))


def test_a_run_without_answers_is_none() -> None:
    """Nothing answered, or nothing printed, is no measurement."""
    with pytest.raises(LoadFailed, match="not one request"):
        parse(_printed(requests=0))
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused")
