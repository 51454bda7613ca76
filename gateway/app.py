"""THE wiring: what is in the box, in what order, and why there. Read next: pipeline.py, which it serves.

Starting goes from the bottom up, stopping from the top down: listeners first, so that nothing new comes in; then the
requests in flight; then the sinks, which must have seen all of them; the connections to providers last.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway import __version__
from gateway.admission import Admission
from gateway.alerts import Alerts
from gateway.api.admin import make_admin
from gateway.api.edge import Edge
from gateway.api.public import make_public
from gateway.api.serve import Listener
from gateway.errors import ConfigError, Problem
from gateway.health.health import Health
from gateway.health.probe import probe
from gateway.identity.make import Keyrings
from gateway.keys.bunch import Bunch
from gateway.keys.locksmith import Locksmith
from gateway.keys.porter import Porter
from gateway.limits.limiter import Limiter
from gateway.pipeline import Pipeline, make_live
from gateway.report import Report, gauges, of_budgets, report
from gateway.spending import Spending
from gateway.state.ending import end
from gateway.state.ledger import Ledger
from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.state.statesink import StateSink
from gateway.state.verbs import Health as StateHealth
from gateway.state.verbs import State
from gateway.telemetry.journal import Journal
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import decode
from gateway.telemetry.ring import Ring
from gateway.telemetry.sinks import Sink, Sinks
from gateway.testing.transport import Simulated
from gateway.treasury import Chapter, Treasury
from gateway.types import Exchange, World
from gateway.upstream.credentials.make import Credentials
from gateway.upstream.http1 import Http1
from gateway.upstream.over_httpx2 import OverHttpx2
from gateway.upstream.transport import Transport

__all__ = ["App", "Load"]

Load = Callable[[], World]
SYNC_S = 0.1


class App:
    """A gateway in one process: built from a World, started, served from, reloaded, stopped."""

    def __init__(
        self,
        world: World,
        *,
        load: Load,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        transports: Mapping[str, Transport] | None = None,
        log: Log,
    ) -> None:
        self.world = self._first = world
        self._load = load
        self._log = log
        self._clock, self._wall = clock, wall
        self._problems: tuple[Problem, ...] = ()
        self._loaded_at = wall()
        self._draining = False
        self._state_up = True
        self._syncing: asyncio.Task[None] | None = None
        self._probes: set[asyncio.Task[None]] = set()
        self._listeners: list[Listener] = []

        # Transports keep connections over reloads, logins their tokens, issuers their keys: they outlive any World.
        self._transports = transports or {"http1": Http1(), "httpx2": OverHttpx2(), "simulated": Simulated()}
        self._credentials = Credentials(wall)
        self._keyrings = Keyrings(clock, log.say)
        self._live = make_live(world, self._transports, self._credentials, self._keyrings.tokens(world.issuers))
        self._state: State = Redis(world.state.reveal()) if world.state is not None else Memory()

        # Sinks, in this order: what answers questions, what survives a crash, what the fleet shares, what people read.
        self.metrics = Metrics(__version__)
        self.metrics.know(_names(world))
        self.metrics.reloaded(True, self._loaded_at, world.version)
        self._ring = Ring()
        self._journal = Journal(world.journal.path, world.journal.max_bytes) if world.journal.path else None
        sinks: list[Sink] = [self._ring, self.metrics]
        sinks += [self._journal] if self._journal is not None else []
        sinks += [StateSink(self._state), log]
        self._sinks = Sinks(sinks)
        self._watch_drops()
        self.spending = Spending(self._state, wall, lambda: self.world)
        self.admission = Admission(world.admission, clock=clock)
        self.health = Health(self._state, world, clock(), self.admission.freed)
        self.limiter = Limiter(self._state, clock=clock)
        self._lag = LoopLag(self._lagged)
        self.treasury = self._open_treasury()
        self.alerts = Alerts(self._state, world.money, self.treasury.book.awake, wall=wall, say=log.say)
        self._turns: list[asyncio.Task[None]] = []

        self.pipeline = Pipeline(
            self._live,
            self.health,
            self.admission,
            self._sinks,
            clock=clock,
            wall=wall,
            refused=self.metrics.refused,
            store=self._state,
            treasury=self.treasury,
            porter=Porter(Bunch(self._state), wall=wall),
            limiter=self.limiter,
        )
        self.locksmith = Locksmith(self._state, world=lambda: self.world, wall=wall)
        self.public = Edge(self.pipeline, make_public(self.pipeline, self.ready), clock=clock, wall=wall)
        self.admin = make_admin(self, self.ready, world.server.admin_token)

    # --- running ------------------------------------------------------------------------------------------------

    async def run(self, public: socket.socket, admin: socket.socket, stop: asyncio.Event) -> None:
        """Serve on both sockets until ``stop`` is set and the requests in flight have ended.

        The admin listener outlives the public one: somebody may want to see what is still under way.
        """
        await self.start()
        self._listeners = listeners = [
            Listener(self.public, public, server=self.world.server),
            Listener(self.admin, admin, server=self.world.server),
        ]
        serving = [asyncio.create_task(listener.run_until_stopped()) for listener in listeners]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._draining = True
            self._log.say("server.closing", inflight=self.admission.inflight, drain_s=self._first.server.drain_s)
            stopped.cancel()
            listeners[0].should_exit = True
            await serving[0]
            listeners[1].should_exit = True
            await serving[1]
            self._log.say("server.stopped", inflight=self.admission.inflight)
            await self.stop()

    async def start(self) -> None:
        """Start what runs in the background. What was made until now stays, so the collector need not look at it."""
        self._lag.start()
        self._syncing = asyncio.create_task(self._sync())
        self._turns = [
            asyncio.create_task(self._again("budgets", self.treasury.run)),
            asyncio.create_task(self._again("alerts", self.alerts.run)),
        ]
        gc.collect()
        gc.freeze()
        # A collection of the youngest takes half a microsecond for each of so many, in which nobody is served.
        gc.set_threshold(10_000, 20, 100)

    async def stop(self) -> None:
        """Let go of everything; the sinks first write what they hold."""
        self._lag.stop()
        if self._syncing is not None:
            await end(self._syncing)
        for task in self._probes:
            task.cancel()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        for task in self._turns:
            await end(task)
        await self.alerts.stop()
        if isinstance(self._state, Memory):
            self._state.keep(self._clock())
        await self.treasury.stop()
        await self._keyrings.aclose()
        await self._state.aclose()
        for transport in self._transports.values():
            await transport.aclose()

    def move_on(self) -> float:
        """Say that no more requests should come here, but serve those that do. For how long, in seconds.

        Load balancers need a while to notice. Answers say ``connection: close`` meanwhile: a connection that is kept
        alive would stay until it is closed, perhaps under a request that has just been sent on it.
        """
        self._draining = True
        delay_s = self._first.server.drain_delay_s
        self._log.say("server.draining", inflight=self.admission.inflight, drain_delay_s=delay_s)
        for listener in self._listeners[:1]:
            listener.move_on()
        return delay_s

    def make_room(self) -> None:
        """Close the admin listener before its time: another process is to take its address."""
        for listener in self._listeners[1:]:
            listener.should_exit = True

    def abandon(self) -> None:
        """End the requests in flight instead of waiting for them. Each still has its record."""
        for listener in self._listeners:
            listener.abandon()

    @property
    def listening(self) -> bool:
        """Whether both listeners take connections."""
        return bool(self._listeners) and all(listener.started for listener in self._listeners)

    def ready(self) -> str | None:
        """Why no new requests should come here: it is about to stop. Neither Redis nor providers count."""
        return "draining" if self._draining else None

    def _lagged(self, seconds: float) -> None:
        self.metrics.lagged(seconds)
        self.admission.lagged(seconds)

    def _open_treasury(self) -> Treasury:
        """The budgets of this process, and the ledger, where it is needed or has something to say.

        Otherwise it is opened when the first key is made: it may be given a budget.
        """
        chapter, path = Chapter(self._state.replica, self._wall), self.world.money.ledger
        alone = self._state if isinstance(self._state, Memory) else None
        chapters = (chapter,) if alone is None else (chapter, alone.tally, alone.keybook)
        # With Redis there is only one that was asked for: keys that are made at run time may have budgets.
        wanted = path is not None and (self.world.budgeted or alone is None or Path(path).exists())
        ledger = Ledger(path, chapters) if path is not None and wanted else None
        treasury = Treasury(
            self._state, self.world.money, clock=self._clock, wall=self._wall, chapter=chapter, ledger=ledger
        )

        def open_late(state: Memory) -> Ledger | None:
            if state.ledger is None and path is not None:
                state.ledger = Ledger(path, chapters)
                treasury.keep_in(state.ledger)
            return state.ledger

        if alone is not None:
            alone.ledger = ledger
            alone.keybook.open = partial(open_late, alone)
        return treasury

    async def _sync(self) -> None:
        while True:
            await self._state.sync(self._clock())
            self._keyrings.tick()
            try:
                self._look_after(self._clock())
            except Exception as error:  # noqa: BLE001 - a defect there must not end the probes of all other deployments
                self._log.say("health.failed", level="error", error=repr(error))
            health = self._state.health()
            # Before the first refresh there is no age but that of this process.
            self.pipeline.refreshed_at = health.refreshed_at or self.pipeline.refreshed_at
            self.metrics.redis_up(health.up)
            self._say_of(health)
            self.metrics.inflight.value = self.admission.inflight
            await asyncio.sleep(SYNC_S)

    def _say_of(self, health: StateHealth) -> None:
        """The log hears when the shared state is lost, why, and when it is back."""
        if health.up is self._state_up:
            return
        self._state_up = health.up
        if health.up:
            self._log.say("state.back")
        else:
            self._log.say("state.lost", level="error", error=health.error)

    async def _again(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """What runs for ever is begun anew after a defect: it must not end what else depends on it."""
        while True:
            try:
                await run()
            except Exception as error:  # noqa: BLE001 - see above
                self._log.say(f"{what}.failed", level="error", error=repr(error))
                await asyncio.sleep(1)

    def _look_after(self, now: float) -> None:
        """Bring health up to date, and begin the probes that no request makes."""
        self.health.tick(now)
        for deployment, leave in self.health.to_probe(now):
            target = self.pipeline.live.targets[deployment.name]
            self._probes.add(task := asyncio.create_task(probe(target, leave, self._clock)))
            task.add_done_callback(self._probes.discard)

    def _watch_drops(self) -> None:
        self.metrics.watch_drops("log", lambda: self._log.dropped)
        self.metrics.watch_drops("state", lambda: self._state.health().dropped)
        if self._journal is not None:
            journal = self._journal
            self.metrics.watch_drops("journal", lambda: journal.dropped)

    # --- configuration ------------------------------------------------------------------------------------------

    def swap(self, world: World) -> None:
        """Put another World in place. Requests in flight keep theirs; what is read once at start stays as it was."""
        self.world = world
        tokens = self._keyrings.tokens(world.issuers)
        self.pipeline.live = make_live(world, self._transports, self._credentials, tokens)
        self.health.know(world, self._clock())
        self.admission.rules = world.admission
        self.treasury.money = self.alerts.money = world.money
        self._loaded_at, self._problems = self._wall(), ()
        self.metrics.know(_names(world))
        self.metrics.reloaded(True, self._loaded_at, world.version)
        self._log.say("config.loaded", version=world.version, source=world.source)
        if parts := self._needs_restart():
            self._log.say("config.needs_restart", level="warning", version=world.version, parts=parts)

    def _needs_restart(self) -> list[str]:
        """Parts of the configuration that have changed and are read once, at start."""
        first, now = self._first, self.world
        # These are looked up for each request.
        server = replace(
            now.server,
            max_body=first.server.max_body,
            body_timeout_s=first.server.body_timeout_s,
            trusted_proxies=first.server.trusted_proxies,
        )
        changed = {
            "server": server != first.server,
            "journal": now.journal != first.journal,
            "state": now.state != first.state,
            "budgets.ledger": now.money.ledger != first.money.ledger
            or (now.budgeted and now.money.ledger is not None and not self.treasury.kept),
        }
        return [part for part, differs in changed.items() if differs]

    def refuse(self, problems: Sequence[Problem]) -> None:
        """A configuration that cannot be used: the one in use stays, and everybody is told."""
        self._problems = tuple(problems)
        self.metrics.reloaded(False, self._wall(), self.world.version)
        self._log.say("config.refused", level="error", version=self.world.version, problems=[str(p) for p in problems])

    # --- what operators ask (api/admin.py) ----------------------------------------------------------------------

    async def find(self, id: str) -> Exchange | None:
        """The exchange of that id: this process's, else the fleet's."""
        found = self._ring.find(id)
        if found is not None:
            return found
        record = await self._state.find(id)
        return decode(record) if record is not None else None

    def recent(self, limit: int, outcome: str | None, route: str | None, deployment: str | None) -> list[Exchange]:
        """The newest exchanges of this process."""
        return self._ring.recent(limit, outcome=outcome, route=route, deployment=deployment)

    async def scrape(self) -> bytes:
        """All metrics. What health and admission know is read here, for only this loop may touch it."""
        self.metrics.tell(gauges(self.health, self.admission, self._clock()))
        self.metrics.tell(of_budgets(self.treasury))
        self.metrics.tell(self._keyrings.gauges())
        state = self._state.health()
        kept = {"remembered": state.remembered, "recalled": state.recalled, "lost": state.forgotten}
        self.metrics.tell({"gateway_kept_total": {(what,): n for what, n in kept.items()}})
        awaited = {**self._state.awaited, "budget": self.treasury.awaited}
        self.metrics.tell({"gateway_redis_awaited_total": {(why,): n for why, n in awaited.items()}})
        self.metrics.tell({"gateway_limited_total": {(*labels,): n for labels, n in self.limiter.refused.items()}})
        return await asyncio.to_thread(self.metrics.render)

    def condition(self) -> Report:
        """How the deployments and this process fare."""
        return report(self.world.deployments, self.health, self.admission, self._clock())

    def configuration(self) -> dict[str, Any]:
        """The configuration in use, by name and hash."""
        world = self.world
        return {
            "version": world.version,
            "source": world.source,
            "loaded_at": self._loaded_at,
            "deployments": sorted(world.deployments),
            "routes": [route.name for route in world.routes],
            "problems": [str(problem) for problem in self._problems],
            "needs_restart": self._needs_restart(),
        }

    async def reload(self) -> bool:
        """Read the configuration again."""
        try:
            world = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self.refuse(error.problems)
            return False
        self.swap(world)
        return True

    def state(self) -> StateHealth:
        """How the shared state does."""
        return self._state.health()


def _names(world: World) -> set[str]:
    return {"auto", *world.deployments, *world.aliases, *(route.name for route in world.routes)}
