"""docs/decision-record.md describes the record as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Struct

from gateway.errors import Failure
from gateway.telemetry.record import encode
from gateway.types import (
    OUTCOMES,
    Attempt,
    Backoff,
    Decision,
    Exchange,
    Features,
    Funds,
    Plan,
    Reason,
    Role,
    Signal,
    Try,
    Usage,
    Verdict,
)
from tests.telemetry.exchanges import plain

PAGE = (Path(__file__).parents[2] / "docs" / "decision-record.md").read_text()


def described(heading: str) -> list[str]:
    """The first column of the table under a heading, down to the next one."""
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    return re.findall(r"^\| `(\w+)` \|", re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("## Record", Exchange),
        ("## `features`", Features),
        ("## `signals[]`", Signal),
        ("## `decision`", Decision),
        ("## `decision.plan`", Plan),
        ("## `decision.plan.tries[]`", Try),
        ("## `decision.plan.backoff`", Backoff),
        ("## `decision.verdicts[]`", Verdict),
        ("## `decision.verdicts[].why`", Reason),
        ("## `decision.funds`", Funds),
        ("## `attempts[]`", Attempt),
        ("## `attempts[].failure`", Failure),
        ("## `usage`, `attempts[].usage`", Usage),
    ],
)
def test_every_member_is_described_in_the_order_it_is_written(heading: str, struct: type[Struct]) -> None:
    assert described(heading) == list(struct.__struct_fields__)


def test_every_outcome_is_described() -> None:
    assert described("### Outcomes") == list(OUTCOMES)


def test_every_part_of_a_try_is_described() -> None:
    assert described("### Parts") == list(get_args(Role))


def test_the_example_is_a_record_as_it_is_written() -> None:
    example = PAGE.split("```json\n", 1)[1].split("```", 1)[0]
    assert json.loads(example) == json.loads(encode(plain()))
