"""Alert rules and dashboard speak of metrics that there are, the handbook of every alert."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from resource_server.telemetry import Metrics

ROOT = Path(__file__).parent.parent.parent
ALERTS, TESTS = ROOT / "deploy" / "alerts.yaml", Path(__file__).with_name("alerts_test.yaml")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
SELECTOR = re.compile(r"\b(resource_server_\w+|up)(?:\{(.*?)\})?")
LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
OF_EVERY_TARGET = {"job", "instance"}


def rules() -> list[dict[str, str]]:
    """Read the rules."""
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield (where, expression) of every alert and panel."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """What the service counts: each name of a sample, and its labels."""
    found: dict[str, set[str]] = {"up": set()}
    for metric in vars(Metrics()).values():
        if hasattr(metric, "_labelnames"):
            for suffix in SUFFIXES[metric._type]:
                further = {"le"} if suffix == "_bucket" else set()
                found[f"{metric._name}{suffix}"] = {*metric._labelnames, *further}
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_and_label_exists(
    where: str, expression: str, metrics: dict[str, set[str]]
) -> None:
    """A metric that is renamed takes its alerts and panels along."""
    selectors = SELECTOR.findall(expression)
    assert selectors, where
    for name, labels in selectors:
        assert name in metrics, f"{where}: {name}"
        unknown = set(LABEL.findall(labels)) - metrics[name] - OF_EVERY_TARGET
        assert not unknown, f"{where}: {name} has no label {unknown}"


ERRORS = re.compile(
    r'(status=~"5\.\."|error!="none"|refusals_total|key_downloads_total|stale_key_serves_total)'
)


def test_a_panel_of_errors_shows_zero_where_there_were_none() -> None:
    """A counter's series begins with its first error: until then the panel would have no data."""
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    expressions = [each["expr"] for each in targets if ERRORS.search(each["expr"])]
    assert len(expressions) == 5
    for expression in expressions:
        assert re.search(r" or (on\(\) label_replace\()?vector\(0\)", expression), expression


def test_every_metric_is_shown_somewhere(metrics: dict[str, set[str]]) -> None:
    """What nobody looks at need not be counted."""
    text = " ".join(expression for _, expression in expressions())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics}
    assert {name for name in families if name not in text} == set()


def test_the_handbook_knows_every_alert() -> None:
    """Whoever is woken finds what to do, under the alert's own name."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(ResourceServer\w+)` \|", text, flags=re.MULTILINE))
    assert documented == {rule["alert"] for rule in rules()}


def test_the_handbook_knows_every_metric(metrics: dict[str, set[str]]) -> None:
    """Name and labels, a row each."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(resource_server_\w+)` \| ([^|]*) \|", text, flags=re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    counted = {
        name.removesuffix("_count"): labels
        for name, labels in metrics.items()
        if name != "up" and not name.endswith(("_bucket", "_sum"))
    }
    assert documented == counted


@pytest.mark.parametrize(
    "arguments", [["check", "rules", str(ALERTS)], ["test", "rules", str(TESTS)]], ids=" ".join
)
def test_prometheus_takes_the_rules(arguments: list[str]) -> None:
    """They parse; on a quiet day none fires, and when all is broken each does."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
