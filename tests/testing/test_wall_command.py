"""``signalbox bench faults`` as people type it, and docs/faults.md against the code."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.load import load_text
from gateway.testing.wall.caller import Caller
from gateway.testing.wall.command import add_arguments
from gateway.testing.wall.own import NotServing, config, own_gateway
from gateway.testing.wall.scenarios import FALLBACKS, PROFILES, SCENARIOS
from gateway.testing.wall.seen import Profile
from gateway.testing.wall.server import Wall

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def faults(*arguments: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "bench", "faults", *arguments],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_our_own_gateway_is_judged_by_some_of_the_faults(tmp_path: Path) -> None:
    status, printed, said = faults("--only", "s03,s13,x05", "--json", str(tmp_path / "all.json"))
    assert (status, said) == (0, "")
    assert [line.split()[0] for line in printed[2:-1]] == ["s03", "s13", "x05"]
    assert printed[-1] == "2 of 2 pass, 1 of 1 pass"
    told = json.loads((tmp_path / "all.json").read_text())
    assert (told["profile"], told["stream"], told["against"]) == ("fast", True, None)
    assert [one["verdict"] for one in told["results"]] == ["pass"] * 3


async def test_another_gateway_is_judged_at_its_address_and_what_is_below_pass_is_a_failure() -> None:
    # The wall stands in for a gateway that does nothing at all: its own port is where the suite's wall will be.
    async with Wall(PROFILES["fast"]) as taken:
        port = taken.port
    status, printed, said = faults(
        *("--against", f"http://127.0.0.1:{port}/v1", "--wall-port", str(port), "--only", "s04", "--no-stream")
    )
    assert (status, said) == (1, "")
    assert printed[0].endswith("fast profile, JSON")
    assert re.fullmatch(r"s04  503 +safe +1\+0 +0\.\d  not rescued: 503 server_error", printed[2])


def test_an_address_where_nobody_answers_is_no_gateway() -> None:
    status, printed, said = faults("--against", "http://127.0.0.1:9/v1", "--wall-port", "0")
    assert (status, len(printed)) == (1, 1)
    assert "a call of the model 'healthy' at http://127.0.0.1:9/v1 fails (error, ConnectError" in said


async def test_a_gateway_that_does_not_start_says_why() -> None:
    with pytest.raises(NotServing, match="unknown key 'rotues'"):
        async with own_gateway("rotues: []"):
            pass


async def test_headers_tell_a_gateway_what_is_asked_for_and_what_it_falls_back_to() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    told = parser.parse_args(["--header", 'x-config: {"to": ["{model}", "{fallback}"]}', "--header", "x-empty:"])
    async with Wall(PROFILES["fast"]) as wall, Caller(wall.url, headers=dict(told.header)) as caller:
        for model in ("s03", "s14", "healthy"):
            await caller.ask(model, "Say", stream=False, limit_s=5)
        heard = [(request.headers["x-config"], request.headers["x-empty"]) for request in wall.requests]
    assert heard == [
        ('{"to": ["s03", "fb-ok"]}', ""),
        ('{"to": ["s14", "fb-no-prefill"]}', ""),
        ('{"to": ["healthy", "fb-ok"]}', ""),
    ]


@pytest.mark.parametrize(
    "arguments", [["--header", "novalue"], ["--only", "s99"], ["--repeat", "0"], ["--at-once", "x"]]
)
def test_a_wrong_call_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(arguments)
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_our_own_configuration_names_every_model_and_gives_each_an_account(profile: Profile) -> None:
    world = load_text(config("http://127.0.0.1:9099/v1", profile), {})
    assert {route.name for route in world.routes} == {*SCENARIOS, "healthy"}
    assert {d.model for d in world.deployments.values()} == {*SCENARIOS, *FALLBACKS}
    assert len({d.account.name for d in world.deployments.values()}) == len(world.deployments)
    fallbacks = {route.name: route.policy.fallback for route in world.routes if route.name != "healthy"}
    assert fallbacks == {one.id: (f"at-{one.fallback}",) for one in SCENARIOS.values()}


def test_every_scenario_and_nothing_else_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE) == [(s.id, s.what) for s in SCENARIOS.values()]
    for scenario in SCENARIOS.values():
        assert scenario.fallback == "fb-ok" or f"for `{scenario.id}` it is `{scenario.fallback}`" in PAGE


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
