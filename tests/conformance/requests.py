"""Recorded requests in the words of every protocol: refused for a reason, or valid as the provider's own SDK has it.

Read next: sdk_types.py, which holds them against the SDKs' types; meaning.py, what must come back as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.api import body as openai
from gateway.dialects import anthropic_body, anthropic_request
from gateway.errors import BadRequest, CannotSay
from gateway.intent import features
from gateway.providers.protocol import Rendered
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.types import Account, Call, Deployment, Native
from tests import make
from tests.conformance.judged import Judged
from tests.conformance.meaning import normal, otherwise, wordless
from tests.conformance.oracle import ask
from tests.recordings import Recording, validator

__all__ = ["Target", "judged", "recorded_calls"]


#: A member at the top of a request that a type does not know.
PASSED_ON: Final = re.compile(r"\w+: unknown")
#: Members of the canonical form that OpenAI's own does not have.
OURS: Final = (b"thinking", b"top_k", b"cache_control", b"extra_content", b"thinking_blocks", b"is_error")


class Target(Struct, frozen=True):
    """A model to ask, and what its requests are as (see sdk_types.py); one for each way in which models differ."""

    kind: str
    model: str
    type: str
    stream_type: str | None = None

    @property
    def deployment(self) -> Deployment:
        row = ROWS[self.kind]
        base_url = row.base_url or "https://provider.invalid/v1"
        account = Account(name=self.kind, kind=self.kind, base_url=base_url, region="us-east-1")
        return make.deployment(self.model, account=account, cannot=row.cannot)


def bedrock(model: str) -> Target:
    return Target("bedrock", model, "bedrock.request", "bedrock.stream_request")


TARGETS: Final = (
    Target("anthropic", "claude-3-5-haiku-20241022", "anthropic.request"),
    Target("anthropic", "claude-sonnet-4-5", "anthropic.request"),
    Target("anthropic", "claude-opus-4-7", "anthropic.request"),
    Target("gemini", "gemini-2.5-flash", "google.request"),
    Target("gemini", "gemini-3-pro-preview", "google.request"),
    Target("vertex", "gemini-2.0-flash", "google.request"),
    bedrock("anthropic.claude-sonnet-4-5-20250929-v1:0"),
    bedrock("amazon.nova-pro-v1:0"),
    bedrock("us.meta.llama3-3-70b-instruct-v1:0"),
    bedrock("openai.gpt-oss-120b-1:0"),
    Target("mistral", "mistral-large-latest", "mistral.request"),
)


async def judged(recordings: Sequence[Recording], folder: Path) -> list[Judged]:
    """Every request to every target that has a row, and Anthropic's to Anthropic and back."""
    notes: Counter[str] = Counter()
    calls = dict(recorded_calls(recordings, notes))
    results = [await of_target(one, calls, folder) for one in TARGETS if one.kind in ROWS]
    if "anthropic" in ROWS:
        taken = {one.id for one in recordings if one.status < 300}
        messages = {id: call for id, call in calls.items() if call.native is not None and id in taken}
        results += [of_openai(messages), native(messages), there_and_back(messages)]
    refused = Judged("requests that no dialect takes", sum(notes.values()), [], notes)
    return [*results, refused]


# --- calls ------------------------------------------------------------------------------------------------------


def recorded_calls(recordings: Sequence[Recording], refused: Counter[str]) -> Iterator[tuple[str, Call]]:
    """What clients asked for, in OpenAI's dialect and in Anthropic's, as our edge would have it."""
    for one in recordings:
        if one.request is None or one.api not in DIALECTS:
            continue
        body = msgspec.json.encode({"model": one.model or "some-model", **one.request})
        try:
            yield one.id, DIALECTS[one.api](body)
        except BadRequest as error:
            refused[f"{one.api} refused with {error.param}"] += 1


def from_openai(body: bytes) -> Call:
    return call_of(openai.judge(body), len(body))


def from_anthropic(body: bytes) -> Call:
    fields = anthropic_body.judge(body)
    call = call_of(anthropic_request.canonical(fields), len(body))
    return replace(call, dialect="anthropic", native=Native(anthropic_request.native(fields)))


def call_of(fields: dict[str, Any], size: int) -> Call:
    return make.call(fields=fields, size=size, model=fields["model"], stream=bool(fields.get("stream")))


DIALECTS: Final = {"chat.completions": from_openai, "messages": from_anthropic}

# --- valid ------------------------------------------------------------------------------------------------------


async def of_target(target: Target, calls: Mapping[str, Call], folder: Path) -> Judged:
    """Every call that this target may be asked, rendered as a stream or not, must be valid."""
    judged = Judged(f"requests to {target.kind} {target.model}")
    lines = []
    for id, call in calls.items():
        rendered = rendered_or_why(call, target)
        if isinstance(rendered, Rendered):
            kind = target.stream_type if call.stream and target.stream_type else target.type
            lines.append({"id": id, "as": kind, "value": msgspec.json.decode(rendered.body)})
        elif rendered.startswith("raised"):
            judged.hold(id, [rendered])
        else:
            judged.notes[rendered] += 1
    for told in await ask("sdk_types.py", lines, folder):
        judged.hold(told["id"], counted(told["wrong"], calls[told["id"]], judged.notes))
    return judged


def counted(wrong: Sequence[str], call: Call, notes: Counter[str]) -> list[str]:
    """What is wrong. What a client says beyond OpenAI's dialect goes on to those who speak it: they may know it."""
    kept = [one for one in wrong if call.native is not None or not PASSED_ON.fullmatch(one)]
    if len(kept) < len(wrong):
        notes["with members passed on as they came"] += 1
    return kept


def of_openai(calls: Mapping[str, Call]) -> Judged:
    """Requests in Anthropic's words, to OpenAI: valid by its schema, and nothing in them that is not OpenAI's."""
    judged, target = Judged("requests in Anthropic's words, to openai"), Target("openai", "gpt-5-mini", "")
    schema = validator("CreateChatCompletionRequest")
    for id, call in calls.items():
        rendered = rendered_or_why(call, target)
        if isinstance(rendered, Rendered):
            errors = schema.iter_errors(msgspec.json.decode(rendered.body))
            found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:120]}" for error in errors]
            judged.hold(
                id, found + [f"{name.decode()} is not OpenAI's" for name in OURS if b'"%b":' % name in rendered.body]
            )
        elif rendered.startswith("raised"):
            judged.hold(id, [rendered])
        else:
            judged.notes[rendered] += 1
    return judged


def rendered_or_why(call: Call, target: Target) -> Rendered | str:
    """The request in the provider's words; or why there is none."""
    if cannot := sorted(features.read(call.fields, call.size).features.needs & target.deployment.cannot):
        return f"not eligible for {cannot[0]}"
    # Judged as canonical also where it could go through as it came.
    plain = replace(call, native=None, dialect="openai")
    try:
        return protocol_of(target.kind).render(plain, target.deployment, stream=call.stream)
    except CannotSay as error:
        return f"cannot say {error.param}"
    except Exception as error:  # noqa: BLE001 - a finding like any other
        return f"raised {type(error).__name__}: {error}"[:300]


# --- the same ---------------------------------------------------------------------------------------------------

HOME: Final = Target("anthropic", "claude-opus-4-5", "anthropic.request")


def native(calls: Mapping[str, Call]) -> Judged:
    """Anthropic's own words go to Anthropic as they came, but for the model."""
    judged = Judged("Anthropic's requests, native to Anthropic: the same but for the model")
    for id, call in calls.items():
        assert call.native is not None
        rendered = protocol_of("anthropic").render(call, HOME.deployment, stream=call.stream)
        found, wanted = msgspec.json.decode(rendered.body), {**call.native.fields, "model": HOME.model}
        names = sorted(name for name in {**found, **wanted} if found.get(name) != wanted.get(name))
        judged.hold(id, [f"{name}: {wanted.get(name)!r:.100} became {found.get(name)!r:.100}" for name in names])
    return judged


def there_and_back(calls: Mapping[str, Call]) -> Judged:
    """Anthropic's own words, told to Anthropic by way of the canonical form, mean the same."""
    judged = Judged("Anthropic's requests, by way of the canonical form: the same meaning")
    for id, call in calls.items():
        assert call.native is not None
        rendered = rendered_or_why(call, Target("anthropic", call.model, "anthropic.request"))
        if only := wordless(call.native.fields):
            judged.notes[f"with what has no canonical words, {only}"] += 1
        elif isinstance(rendered, Rendered):
            judged.hold(id, otherwise(normal(call.native.fields), normal(msgspec.json.decode(rendered.body))))
        elif rendered.startswith("raised"):
            judged.hold(id, [rendered])
        else:
            judged.notes[rendered] += 1
    return judged
