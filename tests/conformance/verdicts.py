"""llmock as the provider: it sees every try of the gateway, and says what it thinks of such a client.

Read next: faults.py, what it does wrong. All is asked as a stream and as JSON, by OpenAI's SDK without retries of its
own. No finding is taken but those that a fault says are meant, and "gave up" where another provider has answered, for
llmock sees one call at a time. Beside its findings there is one of ours: a good answer that is not all that it said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import httpx2
import openai
import yaml
from msgspec import Struct

from tests.conformance.faults import FAULTS, SERVERS, Fault, Way
from tests.conformance.running import gateway, llmock

__all__ = ["Judged", "verdicts"]

#: Where each provider of llmock is, on one server.
FIRST, OTHER = "/v1", "/groq/openai/v1"
LIMITS: Final = ("connect", "first_byte", "first_token", "no_content", "stall")
TIMEOUTS: Final = {**dict.fromkeys(LIMITS, "1s"), "total": "20s"}
#: How many cases are asked at the same time: a slow machine must not look like an impatient gateway.
AT_ONCE: Final = 6
#: How long a client waits when it is told to, and how often.
LONGEST_S, WAITS = 8.0, 3
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Case(Struct, frozen=True):
    """A fault in one of its ways, under a model of its own."""

    fault: Fault
    way: Way
    stream: bool
    model: str

    @property
    def how(self) -> str:
        """In a few words."""
        return f"{'stream' if self.stream else 'JSON'}, {self.way}"


class Ending(Struct, frozen=True):
    """How a call ended for its client: in a word, and with what text; ``wait_s`` is how long it was told to wait."""

    word: str
    text: str = ""
    wait_s: float | None = None


class Judged(Struct, frozen=True):
    """What came of a fault: how its calls ended in each way, and what was found, with the tries that led to it."""

    fault: Fault
    ended: str
    found: tuple[str, ...]
    tries: int


class Came(Struct, frozen=True):
    """What came of a case: how each call ended, and what answers were wanting."""

    case: Case
    ended: Sequence[Ending]
    wanting: Sequence[str]

    @property
    def answered(self) -> bool:
        """Whether every client was."""
        return all(ending.word == "answered" for ending in self.ended)


async def verdicts(command: Path) -> AsyncIterator[Judged]:
    """Play every fault, and give what llmock says of each."""
    cases = all_cases()
    keys = {key(case.model): f"sk-{case.model}" for case in cases}
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(llmock(command, *more)) for name, more in SERVERS.items()}
        url = await stack.enter_async_context(gateway(config_for(cases, servers), keys))
        client = await stack.enter_async_context(
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=30)
        )
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=30))
        await prepare(cases, servers, http)
        slots = asyncio.Semaphore(AT_ONCE)
        ended = await asyncio.gather(*[play(case, client, slots) for case in cases])
        seen = {name: await Seen.read(http, server) for name, server in servers.items()}
        (await http.post(f"{servers['plain']}/_llmock/reset")).raise_for_status()
        missed = [await wanting(case, ends, http, servers["plain"]) for case, ends in zip(cases, ended, strict=True)]
    came = [Came(*one) for one in zip(cases, ended, missed, strict=True)]
    for fault in FAULTS:
        yield judged(fault, [one for one in came if one.case.fault is fault], seen)


def all_cases() -> Sequence[Case]:
    ways = [(fault, way, stream) for fault in FAULTS for way in fault.ways for stream in (True, False)]
    return [Case(fault, way, stream, f"m-{n}") for n, (fault, way, stream) in enumerate(ways)]


def key(model: str) -> str:
    """The name of the variable that has the provider's key: quotas are by key."""
    return "KEY_" + model.removeprefix("m-")


def config_for(cases: Sequence[Case], servers: Mapping[str, str]) -> str:
    """A route for each case, with accounts that nothing else uses, so that no case is held against another."""
    providers: dict[str, Any] = {}
    deployments: dict[str, Any] = {}
    routes = []

    def deployed(name: str, model: str, base_url: str, window: str) -> str:
        account = {"kind": "openai_compatible", "allow_private": True, "api_key": f"${{{key(model)}}}"}
        providers[name] = {**account, "base_url": base_url, "timeouts": TIMEOUTS}
        deployments[name] = {"provider": name, "model": model, "context_window": window}
        return name

    for case in cases:
        small = "4k" if case.fault.server == "window" else "128k"
        first = deployed(f"{case.model}.first", case.model, servers[case.fault.server] + FIRST, small)
        # llmock says the same words to the same request, so a broken stream can be gone on with by asking anew.
        policy: dict[str, Any] = {"pool": [first], "rescue": "splice"}
        if case.way != "alone":
            path = FIRST if case.way == "another account" else OTHER
            policy["fallback"] = [deployed(f"{case.model}.second", case.model, servers["plain"] + path, "128k")]
        routes.append({"name": case.model, "when": {"model": case.model}, "policy": policy})
    server = {"port": 0, "admin_port": 0, "drain_delay": "0s"}
    parts = {"providers": providers, "deployments": deployments, "routes": routes, "server": server}
    return str(yaml.dump(parts, Dumper=Plain, sort_keys=False))


class Plain(yaml.SafeDumper):
    """YAML without anchors, which configurations do not have."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whatever occurs twice is written twice."""
        return True


async def prepare(cases: Sequence[Case], servers: Mapping[str, str], http: httpx2.AsyncClient) -> None:
    """Queue the behaviours of each case for the first provider of its model."""
    for case in cases:
        only = {"model": case.model, "path": f"{FIRST}/*"}
        if case.fault.behaviors:
            behaviors = [{**behavior, "match": only} for behavior in case.fault.behaviors]
            answer = await http.post(f"{servers[case.fault.server]}/_llmock/scenario", json={"behaviors": behaviors})
            answer.raise_for_status()


async def play(case: Case, client: openai.AsyncOpenAI, slots: asyncio.Semaphore) -> Sequence[Ending]:
    """The calls of a case, and how each ended."""
    async with slots:
        return await asyncio.gather(*[patiently(case, n, client) for n in range(case.fault.calls)])


async def patiently(case: Case, n: int, client: openai.AsyncOpenAI) -> Ending:
    """One call of a client that, if it is patient, asks again when it is told to, after as long as it is told."""
    for _ in range(WAITS if case.fault.patient else 1):
        ending = await ask(case, n, client)
        if ending.wait_s is None or not case.fault.patient or ending.wait_s > LONGEST_S:
            break
        await asyncio.sleep(ending.wait_s)
    return ending


async def ask(case: Case, n: int, client: openai.AsyncOpenAI) -> Ending:
    """One call."""
    said: list[str] = []
    finish = None
    try:
        if case.stream:
            async for chunk in await client.chat.completions.create(**body(case, n), stream=True):
                for choice in chunk.choices:
                    said.append(choice.delta.content or "")
                    finish = choice.finish_reason or finish
        else:
            answer = await client.chat.completions.create(**body(case, n))
            said.append(answer.choices[0].message.content or "")
            finish = answer.choices[0].finish_reason
    except openai.APIStatusError as error:
        told = error.response.headers.get("retry-after-ms")
        return Ending(f"{error.status_code} {error.code}", wait_s=float(told) / 1000 if told else None)
    except openai.APIError as error:
        return Ending(f"{type(error).__name__} {error.code or ''}".strip())
    return Ending("answered" if finish else "no finish reason", "".join(said))


def body(case: Case, n: int) -> dict[str, Any]:
    """A request with a prompt of its own."""
    words = " ".join(["railway"] * case.fault.words)
    fields: dict[str, Any] = {
        "model": case.model,
        "messages": [{"role": "user", "content": f"Call {n}: what is the weather at the {words}?"}],
    }
    if case.fault.tools:
        fields["tools"] = [TOOL]
    if case.fault.max_tokens:
        fields["max_tokens"] = case.fault.max_tokens
    return fields


async def wanting(case: Case, ended: Sequence[Ending], http: httpx2.AsyncClient, server: str) -> list[str]:
    """Our own finding: which answers are not all that the provider says to the same request."""
    found = []
    for n, ending in enumerate(ended):
        if ending.word == "no finish reason":
            found.append(f"{case.how}: a good answer without a finish reason: {ending.text!r}")
        elif ending.word == "answered":
            answer = (await http.post(f"{server}{FIRST}/chat/completions", json=body(case, n))).json()
            whole = answer["choices"][0]["message"]["content"] or ""
            if ending.text != whole:
                found.append(f"{case.how}: a good answer that says {ending.text!r} and not {whole!r}")
    return found


class Seen(Struct, frozen=True):
    """What one llmock saw and found."""

    requests: Sequence[Mapping[str, Any]]
    findings: Sequence[Mapping[str, Any]]

    @classmethod
    async def read(cls, http: httpx2.AsyncClient, server: str) -> Seen:
        """Ask it."""
        requests = (await http.get(f"{server}/_llmock/requests")).json()["requests"]
        return cls(requests, (await http.get(f"{server}/_llmock/verdict")).json()["findings"])

    def of(self, model: str) -> tuple[Mapping[int, Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """The requests by number, and the findings, that are about one model."""
        mine = {request["seq"]: request for request in self.requests if request["model"] == model}
        return mine, [finding for finding in self.findings if mine.keys() & set(finding["requests"])]


def judged(fault: Fault, came: Sequence[Came], seen: Mapping[str, Seen]) -> Judged:
    """What is said of all the ways of a fault."""
    found: list[str] = []
    tries = 0
    for one in came:
        found += one.wanting
        for server in {fault.server, "plain"}:
            requests, findings = seen[server].of(one.case.model)
            tries += len(requests)
            found += [told(one.case, finding, requests) for finding in findings if not meant(finding["code"], one)]
    return Judged(fault, summary(came), tuple(found), tries)


def meant(code: str, came: Came) -> bool:
    """Whether we stand by what llmock finds wrong."""
    elsewhere = code == "gave_up" and came.case.way == "another provider" and came.answered
    return elsewhere or (code in OVERLAPPING and came.answered) or code in came.case.fault.allowed


#: Found where no later try belongs to the same call. One that began before llmock had noticed that the broken stream
#: was left, a few milliseconds, is counted as another call: where the client has the whole answer there was one.
OVERLAPPING = ("malformed_chunk_ignored", "truncated_stream_accepted")


def summary(came: Sequence[Came]) -> str:
    """Each way and how its calls ended, once where streams and JSON ended alike."""
    parts = []
    for way, pair in groupby(came, key=lambda one: one.case.way):
        words = [counted([ending.word for ending in one.ended]) for one in pair]
        parts.append(f"{way}: {words[0] if len({*words}) == 1 else ' / '.join(words)}")
    return "; ".join(parts)


def counted(words: Sequence[str]) -> str:
    """Each word once, and how often it came where there are several."""
    return ", ".join(f"{words.count(word)} {word}" if len(words) > 1 else word for word in sorted({*words}))


def told(case: Case, finding: Mapping[str, Any], requests: Mapping[int, Mapping[str, Any]]) -> str:
    """A finding, with the times of the tries of that call, in seconds after the first."""
    involved = [requests[seq] for seq in finding["requests"] if seq in requests]
    fingerprint = involved[0]["fingerprint"]
    tries = [one for one in requests.values() if one["fingerprint"] == fingerprint]
    began_at = tries[0]["started_at"]
    times = "; ".join(
        f"{one['started_at'] - began_at:.3f}–{one['ended_at'] - began_at:.3f} {one['status']}"
        + (f" {one['fault']}" if one["fault"] else "")
        + (f" retry-after {one['retry_after']:g}" if one["retry_after"] is not None else "")
        + ("" if one["completed"] else " unfinished")
        for one in tries
    )
    return f"{case.how}: {finding['code']}: {finding['title']} [{times}]"
