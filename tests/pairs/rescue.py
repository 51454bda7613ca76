"""A stream that breaks off at one protocol, gone on with at another, and what is asked after that.

Read next: test_rescues.py; talk.py, for conversations in which nothing breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from tests.pairs.clients import CLIENTS
from tests.pairs.story import FIRST, QUESTION, RESULTS, SECOND, THIRD, told
from tests.pairs.talk import Stage, equal, foreign, in_order, route, stage
from tests.upstreams.said import Answer, Part, Text, Turn

__all__ = ["CALLS", "NATIVE", "PREFILLS", "TEXT", "rescued", "ring"]

#: A text to break off, and calls, each with the answer that follows.
TEXT: Final = (THIRD, replace(THIRD, text="Gern."))
CALLS: Final = (FIRST, SECOND)
#: Pieces of a text, and of a call's arguments, amid which a stream breaks off: there is none of this in any thought.
AMID_TEXT: Final = b"rnsehtu"
AMID_CALL: Final = b"filt"
#: What goes through in the client's own words is not gone on with.
NATIVE: Final = ("anthropic", "anthropic")
#: Who goes on from the beginning of an answer.
PREFILLS: Final = ("anthropic", "bedrock")


async def rescued(client: str, names: tuple[str, str], mode: str, then: str, story: tuple[Answer, Answer]) -> None:
    """The first of these breaks off, the other goes on; what comes next is asked of ``then``."""
    prefill = {name: ", prefill: true" for name in PREFILLS if mode == "continue"}
    async with stage(route(*names, rescue=mode), story, **prefill) as on:
        try:
            await broken(on, client, names, then, story[0])
        except Exception as error:
            error.add_note(f"{client}: {' to '.join(names)}, {mode}, then {then}")
            raise


async def broken(on: Stage, client: str, names: tuple[str, str], then: str, answer: Answer) -> None:
    speaker = CLIENTS[client](on.gateway, stream=True)
    first, other = (on.providers[name] for name in names)
    first.cut = AMID_CALL if answer.calls else AMID_TEXT
    got = await speaker.ask("r")
    (record,) = await on.gateway.settled(1)
    failures = [attempt.failure and attempt.failure.kind for attempt in record.attempts]
    equal("what became of the tries", failures, ["truncated", None])
    equal("text and calls", (got.text, got.calls), (answer.text, answer.calls))
    equal("the finish reason", got.finish, speaker.calls if answer.calls else speaker.stop)
    equal("the thoughts", got.reasoning, "" if names[0] == "openai" else answer.reasoning)
    following: tuple[Part, ...] = (Text("Danke!"),)
    if answer.calls:
        speaker.tell(RESULTS[0])
        following = tuple(told(then, RESULTS[0], got.ids))
    else:
        speaker.say("Danke!")
    first.down = int(then != names[0])
    await speaker.ask("r")
    said: tuple[Part, ...] = (Text(answer.text), *answer.calls)
    expected = [Turn("user", QUESTION), Turn("model", said), Turn("user", following)]
    heard = in_order(on.providers[then].heard[-1])
    equal(f"what {then} was asked", [Turn(turn.role, turn.parts) for turn in heard.turns], expected)
    for name in names:
        equal(f"what {name} refused", on.providers[name].wrong, [])
        equal(f"requests to {name} with what is not its", foreign(name, on.providers[name].raw), [])
    equal("times that the other was asked", len(other.heard), 1 + (then == names[1]))


def ring(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs in which each is the first once, and the other once."""
    return list(zip(names, [*names[1:], names[0]], strict=True))
