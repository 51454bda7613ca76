"""Every query of the dashboard, asked of a real Prometheus that scrapes a gateway at work."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.live import ROOT, Live, live

DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/signalbox.json").read_text(encoding="utf-8"))
#: What Grafana puts in place of its variables.
GRAFANA = {
    "$__rate_interval": "5s",
    "$__interval": "5s",
    "$__range": "1m",
    "$job": ".*",
    "$route": ".*",
    "$target": ".*",
}
SETTLED_S = 20.0


def queries() -> list[tuple[str, str]]:
    """Title and query of every panel, as Grafana would send it."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return [(panel["title"], filled(target["expr"])) for panel in panels for target in panel["targets"]]


def filled(expr: str) -> str:
    for variable, value in GRAFANA.items():
        expr = expr.replace(variable, value)
    return expr


def wrong(result: list[dict[str, Any]]) -> str | None:
    """What is wrong with an answer: there is none, or one of its values is no number."""
    if not result:
        return "empty"
    bad = [series["metric"] for series in result if not math.isfinite(float(series["value"][1]))]
    return f"not a number for {bad}" if bad else None


async def failing(running: Live) -> dict[str, str]:
    """Every query without a proper answer, and what is wrong with it."""
    found = {f"{title}: {expr}": wrong(await running.ask(expr)) for title, expr in queries()}
    return {query: problem for query, problem in found.items() if problem}


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus in the PATH: Debian has it as a package")
async def test_every_panel_shows_numbers_when_there_is_traffic(tmp_path: Path) -> None:
    async with live(tmp_path) as running:
        give_up_at = time.monotonic() + SETTLED_S
        while (problems := await failing(running)) and time.monotonic() < give_up_at:
            await asyncio.sleep(0.5)
        assert problems == {}
        assert wrong(await running.ask("gateway_no_such_metric")) == "empty"
        assert wrong(await running.ask("gateway_inflight_requests / 0 * 0")) is not None


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool in the PATH: Debian's prometheus has it")
def test_prometheus_itself_accepts_the_containers_configuration() -> None:
    command = ["promtool", "check", "config", "--syntax-only", str(ROOT / "docker/prometheus.yml")]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
