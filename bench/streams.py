"""CPU per stream of 30 chunks, translated and not, beside nginx and a minimal proxy: ``make bench-streams``.

Read next: rig.py, whose rig this is. Chunks come 20 ms apart, one write each, 64 streams at once. ``pass`` is an OpenAI
client at an OpenAI provider, ``translated`` an OpenAI client at an Anthropic one.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.rig import RIG, ROOT

CHUNKS: Final = 30
GAP_US: Final = 20_000
MOCK_PORT: Final = 9102
OURS: Final = {"pass": 9600, "translated": 9610}
TARGETS: Final = ("nginx_nobuf", "m_asgi_mini", *OURS)
#: What is held: so many milliseconds of CPU for a translated stream at most.
LIMIT_MS: Final = 1.6


def main() -> int:
    """Measure, print every run and the medians. The exit status is 1 when the limit is not kept, 0 without a rig."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if not RIG.exists():
        print(f"skipped: there is no load rig at {RIG}")
        return 0
    with tempfile.TemporaryDirectory(prefix="signalbox-rig-") as folder:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder)
        lay_out(place)
        mock = [sys.executable, "-m", "bench.anthropic_mock", str(MOCK_PORT), str(CHUNKS), str(GAP_US)]
        with subprocess.Popen(["taskset", "-c", "1", *mock], cwd=ROOT) as provider:
            try:
                runs = [one_round(place) for _ in range(rounds)]
            finally:
                provider.terminate()
    return report(runs)


def lay_out(folder: Path) -> None:
    """The rig, and this gateway as two more of its targets."""
    subprocess.run([RIG / "setup.sh", folder], check=True, stdout=subprocess.DEVNULL)
    with (folder / "rig/targets.py").open("a") as targets:
        for name, port in OURS.items():
            row = {
                "cmd": [sys.executable, "-m", "gateway", "run", "--config", str(ROOT / f"bench/streams-{name}.yaml")],
                "port": port,
                "cwd": str(ROOT),
                "env": {"JOURNAL": str(folder / f"journal-{name}.jsonl")},
            }
            targets.write(f"\nTARGETS[{name!r}] = {row!r}\n")


def one_round(folder: Path) -> dict[str, float]:
    """Milliseconds of CPU per stream, by target."""
    options = ["--stream", "paced", "--conns", "64", "--secs", "6", "--chunks", str(CHUNKS), "--gap", str(GAP_US)]
    command = [sys.executable, "bench.py", *TARGETS, *options]
    done = subprocess.run(command, cwd=folder / "rig", check=True, capture_output=True, text=True)
    found = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        if "failed" in result or result["errs"]:
            raise SystemExit(f"{result['target']} did not serve: {line}")
        found[result["target"]] = float(result["cpu_us"]) / 1000
    print("  ".join(f"{name} {value:.2f} ms" for name, value in found.items()), flush=True)
    return found


def report(runs: list[dict[str, float]]) -> int:
    """Medians, ratios, and whether the limit is kept."""
    median = {name: statistics.median(run[name] for run in runs) for name in TARGETS}
    print("median: " + ", ".join(f"{name} {value:.2f} ms" for name, value in median.items()))
    for other in TARGETS[:-1]:
        ratio = statistics.median(run["translated"] / run[other] for run in runs)
        print(f"translated / {other}: {ratio:.2f}")
    kept = median["translated"] <= LIMIT_MS
    print(f"translated: {median['translated']:.2f} ms (limit {LIMIT_MS}) {'ok' if kept else 'NOT KEPT'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
