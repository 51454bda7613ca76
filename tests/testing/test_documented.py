"""docs/testing.md against the code: every fault and member is there, and the examples run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gateway.testing.faults import FAULTS
from gateway.testing.script import Script

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def section(title: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    text = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", text, re.MULTILINE)


def test_every_fault_and_nothing_else_is_documented() -> None:
    assert section("Faults") == list(FAULTS)


def test_every_member_of_a_script_is_documented() -> None:
    assert section("Scripts") == list(Script.__struct_fields__)


@pytest.mark.parametrize("example", EXAMPLES, ids=["provider", "time"])
def test_the_examples_run(example: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "gateway.testing", "--words", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ.copy()) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/models", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
