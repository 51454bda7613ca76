"""What a caller's budgets would make of a request. Read next: ../../gateway/commands/dry_run.py, which asks."""

from __future__ import annotations

import msgspec
import pytest

from gateway.commands.dry_run import dry_run
from gateway.config.load import load_text
from gateway.errors import NotFound
from gateway.keys.form import mint
from gateway.policy.prospects import funds_at
from gateway.types import Budget, Funds, Scope

WORLD = f"""
providers: {{sim: {{kind: simulated}}}}
deployments:
  small: {{provider: sim, model: small, price: {{input: 0.15, output: 0.6}}}}
  large: {{provider: sim, model: large, price: {{input: 2.5, output: 10}}}}
routes:
  - name: default
    policy: {{pool: [large, small], strategy: ordered, budget_shift: {{from: 0.8}}, lower_max_tokens: yes}}
  - {{name: plain, policy: {{pool: [large, small], strategy: ordered}}}}
organisations: {{acme: {{budget: {{usd: 5000, per: month}}}}}}
teams:
  support:
    organisation: acme
    budget: {{usd: 3, per: day}}
    each_user: {{budget: {{usd: 0.5, per: total}}}}
keys:
  - {{id: bot, team: support, secret_hash: {mint("bot")[1]}}}
  - {{id: free, secret_hash: {mint("free")[1]}}}
"""


def told(text: str = "Hello!", *, key: str = "bot", used: float | None = None, **body: object) -> list[str]:
    asked = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **body}
    return dry_run(load_text(WORLD, {}), msgspec.json.encode(asked), key=key, used=used)


def test_a_caller_with_budgets_is_told_which_and_what_the_request_reserves_of_them() -> None:
    *_, chosen, budgets, left, reserved, shift = told()
    assert chosen.startswith("Chosen: large, because it is the first that can serve.")
    assert budgets == "Budgets: organisation:acme 5000 USD a month, team:support 3 USD a day."
    assert left == "With 0% of them used, team:support has 3.000000 USD left."
    assert reserved.startswith("A try reserves, since it may cost so much: 0.")
    assert (" USD at large, 0.000" in reserved, reserved.endswith(" USD at small.")) == (True, True)
    assert shift == "budget_shift moves nothing up to 80% of a budget."


def test_at_nine_tenths_half_of_the_conversations_are_moved() -> None:
    said = [told(f"Question {n}", used=0.9) for n in range(40)]
    moved = [lines for lines in said if lines[-1].endswith("this one among them.")]
    assert 8 < len(moved) < 32
    for lines in said:
        at = "small, because a budget is running out, and it is cheaper" if lines in moved else "large, because"
        assert lines[-5].startswith(f"Chosen: {at}")
        assert lines[-1].startswith("budget_shift now moves 50% of conversations to what is cheaper, this one ")
    assert told(used=1.0)[-1].startswith("budget_shift now moves 100% of conversations")


def test_what_is_left_may_hold_a_shorter_answer_only_or_none() -> None:
    said = told(used=0.9, user="ann", max_tokens=1_000_000)
    (warned,) = [line for line in said if line.startswith("The client was warned: ")]
    assert warned.startswith("The client was warned: max_tokens was lowered to ")
    assert "user:team/support/ann 0.5 USD in total" in said[-4]
    assert said[-3] == "With 90% of them used, user:team/support/ann has 0.050000 USD left."
    assert "Nothing can serve it." in told(used=1.0)
    assert told(model="plain", used=1.0)[-1].startswith("Its route has no budget_shift: ")


def test_who_has_no_budget_is_told_so_and_a_key_of_elsewhere_is_not_known() -> None:
    assert told(key="free")[-1] == "free has no budget."
    with pytest.raises(NotFound, match=r"it has bot, free\. Those made at run time are not known here"):
        told(key="made")


def test_of_several_budgets_the_smallest_is_the_tightest() -> None:
    scopes = [Scope("team:a", Budget(3_000)), Scope("key:b", Budget(1_000)), Scope("key:c")]
    assert funds_at(scopes, 0.25) == Funds("key:b", 250, 750)
    assert funds_at(scopes[2:], 0.25) is None
