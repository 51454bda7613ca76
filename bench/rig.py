"""CPU per request beside nginx and a minimal raw-ASGI proxy, in the same runs: ``make bench``.

Lays the load rig of ``../shared/rig`` out in a temporary folder (it compiles a mock provider and a load generator, and
installs its own packages), adds this gateway to it, and runs all three in turn, five times. Machines are shared: what
counts is CPU time of the process tree per request, as a ratio within one run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RIG = Path(os.environ.get("SIGNALBOX_SHARED", ROOT.parent / "shared")) / "rig"
TARGETS = ("nginx", "m_asgi_mini", "signalbox")
#: What is held: at most so many times the CPU of the other.
LIMITS = {"nginx": 6.0, "m_asgi_mini": 2.0}


def main() -> int:
    """Measure, print every run and the medians. The exit status is 1 when a limit is not kept, 0 also without a rig."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not RIG.exists():
        print(f"skipped: there is no load rig at {RIG}")
        return 0
    with tempfile.TemporaryDirectory(prefix="signalbox-rig-") as folder:
        lay_out(Path(folder))
        runs = [one_round(Path(folder)) for _ in range(rounds)]
    return report(runs)


def lay_out(folder: Path) -> None:
    """The rig, and this gateway as one more of its targets."""
    subprocess.run([RIG / "setup.sh", folder], check=True, stdout=subprocess.DEVNULL)
    row = {
        "cmd": [sys.executable, "-m", "gateway", "run", "--config", str(ROOT / "bench/rig.yaml")],
        "port": 9600,
        "cwd": str(ROOT),
        "env": {"JOURNAL": str(folder / "journal.jsonl")},
    }
    with (folder / "rig/targets.py").open("a") as targets:
        targets.write(f"\nTARGETS['signalbox'] = {row!r}\n")


def one_round(folder: Path) -> dict[str, float]:
    """Microseconds of CPU per request, by target."""
    command = [sys.executable, "bench.py", *TARGETS, "--secs", "4", "--warm", "1", "--nolat"]
    done = subprocess.run(command, cwd=folder / "rig", check=True, capture_output=True, text=True)
    found = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        if "failed" in result or result["errs"]:
            raise SystemExit(f"{result['target']} did not serve: {line}")
        found[result["target"]] = float(result["cpu_us"])
    print("  ".join(f"{name} {value:.0f} µs" for name, value in found.items()), flush=True)
    return found


def report(runs: list[dict[str, float]]) -> int:
    """Medians, ratios, and whether they are within the limits."""
    median = {name: statistics.median(run[name] for run in runs) for name in TARGETS}
    print("median: " + ", ".join(f"{name} {value:.0f} µs" for name, value in median.items()))
    kept = True
    for name, limit in LIMITS.items():
        ratio = statistics.median(run["signalbox"] / run[name] for run in runs)
        kept &= ratio <= limit
        print(f"signalbox / {name}: {ratio:.1f} (limit {limit:.0f}) {'ok' if ratio <= limit else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
