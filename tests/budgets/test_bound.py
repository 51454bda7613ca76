"""What is reserved for a try: never less than it can cost. Read next: test_bound_recorded.py."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.budgets.bound import UNKNOWN_OUTPUT, bound, guess, most_input, most_output
from gateway.intent import features
from gateway.types import LARGEST_IMAGE, Call, Deployment, Features, Price, Tier, Usage
from tests import make

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
SOUND = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}}
WAVE = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "wav"}}
PAPER = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 40_000, "filename": "a.pdf"}}
NOTE = {"type": "file", "file": {"file_data": "data:text/plain;base64," + "A" * 40_000}}
ELSEWHERE = {"type": "file", "file": {"file_id": "file-1"}}
FILM = {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}


def asked(*parts: dict[str, Any], **fields: Any) -> tuple[Call, Features]:
    """A call of 1,000 bytes beside what is in its parts, and what it says of itself."""
    content = list(parts) or "x"
    size = 1000 + sum(len(text) for part in parts for text in part[part["type"]].values())
    call = make.call(fields={"messages": [{"role": "user", "content": content}], **fields}, size=size)
    return call, features.read(call.fields, call.size).features


def input_of(*parts: dict[str, Any], deployment: Deployment | None = None, **fields: Any) -> int:
    _, found = asked(*parts, **fields)
    return most_input(found, deployment or make.deployment("a"))


def output_of(deployment: Deployment | None = None, **fields: Any) -> int:
    call, found = asked(**fields)
    return most_output(call, found, deployment or make.deployment("a"))


def test_text_is_at_most_a_token_a_byte_and_what_providers_add() -> None:
    assert input_of() == 1000 + 1024
    assert input_of(tools=[{"type": "function", "function": {"name": "f"}}]) == 1000 + 1024 + 2048
    assert input_of(tools=[{"type": "bash_20250124", "name": "bash"}]) == 1000 + 1024 + 2048 + 2048
    assert input_of(web_search_options={}) == 1000 + 1024 + 500_000
    assert input_of(tools=[{"type": "web_search_20250305"}]) == 1000 + 1024 + 2048 + 2048 + 500_000
    assert input_of(deployment=make.deployment("groq/compound-mini")) == 1000 + 1024 + 500_000
    assert input_of(tools=[{"googleSearch": {}}]) == 1000 + 1024 + 2048 + 500_000


def test_a_picture_is_what_the_model_counts_it_as_however_many_bytes_it_has() -> None:
    known = make.deployment("claude", image_tokens=5_000)
    rest = 1000 + 1024
    assert input_of(IMAGE) == rest + LARGEST_IMAGE
    assert input_of(IMAGE, IMAGE, deployment=known) == rest + 10_000


def test_sound_is_bounded_by_its_bytes_and_counted_apart() -> None:
    assert input_of(SOUND) == 1000 + len("mp3") + 1024 + 40_000 // 20 + 1000
    assert input_of(WAVE) == 1000 + len("wav") + 1024 + 40_000 // 160 + 1000
    assert asked(SOUND, WAVE)[1].most_audio == 3000 + 1250
    assert asked(IMAGE)[1].most_audio == 0


def test_what_has_no_known_extent_fills_the_window_at_most_and_text_is_never_cut() -> None:
    small = make.deployment("small", context_window=128_000)
    assert input_of(ELSEWHERE) > 1_000_000
    assert input_of(ELSEWHERE, deployment=small) == input_of(FILM, deployment=small) == 128_000
    assert input_of(PAPER, deployment=small) == 128_000
    assert input_of(NOTE, deployment=small) == 1000 + 1024 + 40_000 + len("data:text/plain;base64,")
    assert input_of(cached_content="cachedContents/1", deployment=small) == 128_000
    tiny = make.deployment("tiny", context_window=500)
    assert input_of(ELSEWHERE, deployment=tiny) == 1000 + len("file-1") + 1024
    assert input_of(deployment=tiny) == 2024


def test_output_is_what_the_client_or_the_model_limits_it_to() -> None:
    capped = make.deployment("a", max_output=8_000)
    assert output_of() == UNKNOWN_OUTPUT
    assert output_of(capped) == 8_000
    assert output_of(capped, max_tokens=100) == 100
    assert output_of(capped, max_completion_tokens=9_000) == 8_000
    assert output_of(max_tokens=100) == 100


def test_thinking_may_be_added_to_a_limit_and_wrong_predictions_to_an_answer() -> None:
    capped = make.deployment("a", max_output=8_000)
    assert output_of(max_tokens=100, reasoning_effort="high") == 1124
    assert output_of(max_tokens=100, reasoning_effort="none") == 100
    assert output_of(max_tokens=100, thinking={"type": "enabled", "budget_tokens": 4_000}) == 4_100
    assert output_of(capped, max_tokens=7_000, thinking={"type": "enabled", "budget_tokens": 4_000}) == 8_000
    assert output_of(max_tokens=100, prediction={"type": "content", "content": "x"}) == 1100


def test_choices_count_each_where_one_call_gives_several() -> None:
    assert output_of(max_tokens=100, n=3) == 300
    assert output_of(make.deployment("a", cannot=frozenset({"choices"})), max_tokens=100, n=3) == 100
    assert output_of(make.deployment("a", capabilities=frozenset({"tools"})), max_tokens=100, n=3) == 100


@pytest.mark.parametrize(
    ("price", "fields", "parts", "micros"),
    [
        (Price(1_000_000, 10_000_000), {"max_tokens": 10}, (), 2024 + 100),
        (
            Price(1_000_000, 10_000_000, 100_000, 1_250_000, 2_000_000),
            {"max_tokens": 10},
            (),
            -(-2024 * 21 // 10) + 100,
        ),
        (Price(1_000_000, 0, tiers=(Tier(2000, Price(2_000_000, 0)),)), {}, (), 4048),
        (Price(1_000_000, 0, tiers=(Tier(3000, Price(2_000_000, 0)),)), {}, (), 2024),
        (Price(1_000_000, 0, audio_input=9_000_000), {}, (SOUND,), 2027 + 9 * 3000),
        (Price(0, 1_000_000, audio_output=5_000_000), {"max_tokens": 10, "modalities": ["text", "audio"]}, (), 50),
        (Price(0, 1_000_000, request=7_000_000), {"max_tokens": 10}, (), 17),
    ],
)
def test_a_bound_takes_the_dearest_way_that_tokens_can_be_charged(
    price: Price, fields: dict[str, Any], parts: tuple[dict[str, Any], ...], micros: int
) -> None:
    call, found = asked(*parts, **fields)
    assert bound(call, found, make.deployment("a", price=price)) == micros


def test_an_unknown_price_has_no_bound_and_what_goes_along_is_input() -> None:
    call, found = asked(max_tokens=0)
    assert bound(call, found, make.deployment("a", price=None)) is None
    assert bound(call, found, make.deployment("a"), more=76) == 2100
    assert bound(replace(call, added=100), found, make.deployment("a"), more=76) == 2200


def test_a_guess_is_never_above_the_bound() -> None:
    call, found = asked(IMAGE, max_tokens=10)
    cheap = make.deployment("a", image_tokens=1)
    assert guess(call, found, make.deployment("a"), 36) == Usage(found.input_tokens, 9, estimated=True)
    assert guess(call, found, cheap, 4_000) == Usage(min(found.input_tokens, 2025), 10, estimated=True)
