"""Tells a webhook that a share of a budget has been spent. Read next: budgets/account.py.

Each share of each budget and period is told once, by whichever replica is first to notice. Being told late is better
than twice: a replica that ends between being first and telling has told nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

import httpx2
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from gateway.budgets.account import Account
from gateway.errors import Unavailable
from gateway.money import usd
from gateway.state.verbs import State
from gateway.types import Money

__all__ = ["Alerts"]

#: How often budgets are looked at, in seconds.
LOOK_S: Final = 5.0
TIMEOUT_S: Final = 5.0
TRIES: Final = 9
#: What has to be spent of a budget before a refusal counts as all of it: one request that wants too much is no alarm.
NEARLY: Final = 0.8
#: Posts under way at a time: very many budgets may be spent in the same moment.
AT_ONCE: Final = 4
#: Alerts that are known to be told. Of those before the state knows it.
MOST: Final = 10_000

Say = Callable[..., None]


class Alerts:
    """Looks at accounts now and then, and posts what there is to tell. ``failed`` counts what no try could deliver.

    ``accounts`` are those in use: of very many end users most are not.
    """

    def __init__(
        self, state: State, money: Money, accounts: Mapping[str, Account], *, wall: Callable[[], float], say: Say
    ) -> None:
        self.money = money
        self.failed = 0
        self._state = state
        self._accounts = accounts
        self._wall = wall
        self._say = say
        self._told: set[str] = set()
        self._posts: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._making = asyncio.Lock()
        self._client: httpx2.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"{len(self._told)} alerts told, {len(self._posts)} under way, {self.failed} not delivered"

    async def run(self) -> None:
        """Look, for as long as it runs."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        for account in list(self._accounts.values()):
            for share in due(account):
                # A budget that was changed is another one.
                name = f"{account.name}@{share:g}/{account.limit}"
                if name not in self._told and not await self._tell_first(account, share, name):
                    return  # the next look asks again

    async def stop(self) -> None:
        """Wait for what is under way, as long as one try takes."""
        if self._posts:
            await asyncio.wait(self._posts, timeout=TIMEOUT_S)
        for post in self._posts:
            post.cancel()
        if (client := self._client) is not None:
            self._client = None
            await client.aclose()

    async def _tell_first(self, account: Account, share: float, name: str) -> bool:
        """Tell it, unless another replica has; False where that cannot be found out now."""
        try:
            first = await self._state.first(f"alert:{name}", account.span.keep_s(self._wall()))
        except Unavailable:
            return False
        if len(self._told) >= MOST:
            self._told.clear()
        self._told.add(name)
        if first:
            self._tell(account, share)
        return True

    def _tell(self, account: Account, share: float) -> None:
        said = told(account, share, self._wall())
        self._say("budget.alert", level="warning", scope=account.scope, period=account.span.name, threshold=share)
        if self.money.webhook is not None:
            self._posts.add(post := asyncio.create_task(self._deliver(msgspec.json.encode(said))))
            post.add_done_callback(self._posts.discard)

    async def _deliver(self, body: bytes) -> None:
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((httpx2.HTTPError, OSError)),
                wait=wait_exponential_jitter(multiplier=0.2, max=60, jitter=0.2),
                stop=stop_after_attempt(TRIES),
                reraise=True,
            ):
                with attempt:
                    await self._post(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            self.failed += 1
            # Its words may hold the address, which is a secret.
            self._say("budget.alert_failed", level="error", error=type(error).__name__)

    async def _post(self, body: bytes) -> None:
        webhook, secret = self.money.webhook, self.money.webhook_secret
        if webhook is None:
            return
        headers = {"content-type": "application/json"}
        if secret is not None:
            signed = hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()
            headers["x-signalbox-signature"] = f"sha256={signed}"
        async with self._gate:
            client = await self._connected()
            (await client.post(webhook.reveal(), content=body, headers=headers)).raise_for_status()

    async def _connected(self) -> httpx2.AsyncClient:
        """The one client. All certificates of the machine are read for it, which takes tens of milliseconds."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(httpx2.AsyncClient, timeout=TIMEOUT_S, follow_redirects=False)
            return self._client


def due(account: Account) -> list[float]:
    """The shares of a budget that have been spent. All of it, too, when what is left was too little for a request."""
    spent = account.spent / account.limit if account.limit > 0 else 1.0
    over = account.exhausted and spent >= NEARLY
    return [share for share in account.alert_at if spent >= share or (share >= 1 and over)]


def told(account: Account, share: float, at: float) -> dict[str, str | float | None]:
    """What the webhook is told."""
    kind, _, who = account.scope.partition(":")
    spent, limit = usd(account.spent), usd(account.limit)
    what = f"the budget of {kind} {who} for {account.span.name}"
    reached = account.spent >= share * account.limit
    done = f"{share:.0%} of {what} is spent" if reached else f"Requests are refused, for {what} is nearly spent"
    return {
        "event": "budget.alert",
        "text": f"{done}: {spent} of {limit} USD",
        "scope": account.scope,
        "period": account.span.name,
        "threshold": share,
        "spent_usd": spent,
        "limit_usd": limit,
        "ends_at": account.span.ends_at,
        "at": at,
    }
