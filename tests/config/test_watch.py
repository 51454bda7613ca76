"""Reloading: a good file takes over, a bad one changes nothing. The clock is wound by hand, the files are real."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.watch import Watcher
from gateway.errors import Problem
from gateway.types import World

GOOD = """
providers: {gpu: {kind: openai_compatible, base_url: https://gpu.example.com/v1}}
deployments: {NAME: {provider: gpu, model: m}}
"""


def good(name: str) -> str:
    return GOOD.replace("NAME", name)


class Bench:
    """A watched file, the worlds and problems that were told, and the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.worlds: list[str] = []
        self.problems: list[str] = []
        self.watcher = Watcher(
            str(path), lambda: load(path, {}), self.on_world, self.on_problem, clock=lambda: self.now, debounce_s=0.5
        )

    def on_world(self, world: World) -> None:
        self.worlds.append(next(iter(world.deployments)))

    def on_problem(self, problems: Sequence[Problem]) -> None:
        self.problems.append(problems[0].message)

    def settle(self) -> bool:
        """Look, wait for longer than the debounce, and look again."""
        first = self.watcher.poll()
        self.now += 0.6
        return self.watcher.poll() or first


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    path = tmp_path / "gateway.yaml"
    path.write_text(good("first"))
    return Bench(path)


def test_a_file_that_stays_as_it_is_is_not_read_again(bench: Bench) -> None:
    assert not bench.settle()
    assert (bench.worlds, bench.problems) == ([], [])


def test_a_change_is_taken_when_it_has_stood_still(bench: Bench) -> None:
    bench.path.write_text(good("second"))
    assert not bench.watcher.poll()
    bench.now += 0.4
    assert not bench.watcher.poll()
    assert "to be read" in repr(bench.watcher)
    bench.now += 0.2
    assert bench.watcher.poll()
    assert bench.worlds == ["second"]
    assert "unchanged" in repr(bench.watcher)


def test_a_file_written_in_two_parts_is_read_once_when_it_is_whole(bench: Bench) -> None:
    text = good("second")
    bench.path.write_text(text[:60])
    bench.watcher.poll()
    bench.now += 0.4
    bench.path.write_text(text)
    bench.watcher.poll()
    bench.now += 0.4
    assert not bench.watcher.poll()
    bench.now += 0.2
    assert bench.watcher.poll()
    assert (bench.worlds, bench.problems) == (["second"], [])


def test_a_half_written_file_that_stands_still_changes_nothing_until_it_is_whole(bench: Bench) -> None:
    bench.path.write_text(good("second")[:60])
    assert bench.settle()
    assert bench.worlds == []
    assert bench.problems[0].startswith("this is not YAML")
    assert not bench.settle(), "told once"
    bench.path.write_text(good("second"))
    bench.settle()
    assert bench.worlds == ["second"]


def test_a_renamed_file_is_a_change_even_with_the_same_size_and_time(bench: Bench) -> None:
    other = bench.path.with_suffix(".new")
    other.write_text(good("again"))
    before = bench.path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.rename(bench.path)
    bench.settle()
    assert bench.worlds == ["again"]


def test_a_turned_link_is_a_change_as_in_a_config_map(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(good(name))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    bench = Bench(tmp_path / "gateway.yaml")
    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    bench.settle()
    assert bench.worlds == ["two"]


def test_a_vanished_file_is_told_once_and_comes_back(bench: Bench) -> None:
    bench.path.unlink()
    assert bench.settle()
    assert not bench.settle()
    assert (bench.worlds, bench.problems) == ([], ["the file cannot be read: No such file or directory"])
    bench.path.write_text(good("back"))
    bench.settle()
    assert bench.worlds == ["back"]


def test_a_file_that_vanishes_for_a_moment_only_is_no_event(bench: Bench) -> None:
    moved = bench.path.rename(bench.path.with_suffix(".moved"))
    bench.watcher.poll()
    bench.now += 0.3
    moved.rename(bench.path)
    assert not bench.settle()


def test_a_poisoned_file_keeps_the_old_world_and_says_why(bench: Bench) -> None:
    bench.path.write_text(good("second").replace("provider: gpu", "provider: gpuu"))
    bench.settle()
    assert (bench.worlds, bench.problems) == ([], ["there is no provider 'gpuu'"])


def test_a_signal_reloads_at_once_changed_or_not(bench: Bench) -> None:
    bench.watcher.reload()
    bench.path.write_text(good("second"))
    bench.watcher.reload()
    assert bench.worlds == ["first", "second"]
    assert not bench.settle()


async def test_it_runs_beside_requests_until_cancelled(bench: Bench) -> None:
    told = asyncio.Event()
    path = bench.path
    worlds: list[World] = []

    def on_world(world: World) -> None:
        worlds.append(world)
        told.set()

    watcher = Watcher(str(path), lambda: load(path, {}), on_world, bench.on_problem, debounce_s=0.0)
    running = asyncio.create_task(watcher.run(interval_s=0.005))
    path.write_text(good("second"))
    await asyncio.wait_for(told.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(worlds[-1].deployments) == ["second"]
