"""What may be said of a key that is made at run time: the same as in the file, but for its secret, and judged the same.

Read next: locksmith.py, who is told; ../config/schema.py, TermsEntry, for the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from gateway.config.finding import closest
from gateway.config.schema import TermsEntry
from gateway.config.validate import said_of
from gateway.errors import BadRequest
from gateway.keys.form import is_run_time_id
from gateway.types import World

__all__ = ["judge", "merged"]

#: The longest that all that is said of one key may be, as JSON in bytes.
MOST: Final = 16 * 1024


def merged(terms: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Terms with changes: each member takes the place of the one before, and null takes it out."""
    return {name: value for name, value in {**terms, **said}.items() if value is not None}


def judge(said: Mapping[str, Any], world: World) -> TermsEntry:
    """What was said of a key. Raises BadRequest that names the member, in the words of ``signalbox check``."""
    if len(msgspec.json.encode(said)) > MOST:
        raise BadRequest(f"More is said of this key than {MOST} bytes hold.", code="invalid_value")
    try:
        terms = TermsEntry.model_validate(said)
    except ValidationError as error:
        member, message = said_of(error, TermsEntry)
        raise BadRequest(f"{message}.", code="invalid_value", param=member) from None
    if not is_run_time_id(terms.id):
        raise BadRequest(
            f"{terms.id[:64]!r} is no id for a key: use up to 32 of a-z, 0-9 and -.", code="invalid_value", param="id"
        )
    for member, message in _unknown(terms, world):
        raise BadRequest(f"{message}.", code="invalid_value", param=member)
    return terms


def _unknown(terms: TermsEntry, world: World) -> Iterator[tuple[str, str]]:
    """Names of what the configuration has not."""
    routes = [route.name for route in world.routes]
    for member, what, names, known in (
        ("models", "deployment", terms.models or (), world.deployments),
        ("routes", "route", terms.routes or (), routes),
        ("team", "team", (terms.team,) if terms.team is not None else (), world.teams),
    ):
        for name in names:
            if name not in known:
                yield member, f"There is no {what} {name[:64]!r} ({closest(name, known)})"
