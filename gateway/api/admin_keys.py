"""Keys over the admin port: made, shown, changed, rotated and revoked. Read next: ../keys/locksmith.py, who does it.

Whatever changes something wants ``content-type: application/json``: a page in a browser cannot send that to an address
on its user's machine without being asked whether it may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.config.units import Moment
from gateway.config.validate import said_of
from gateway.dialects.judging import parsed
from gateway.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from gateway.keys.locksmith import Locksmith

__all__ = ["KeyDesk", "add_keys"]

#: The longest body that is read, in bytes.
MOST: Final = 64 * 1024


class KeyDesk(Protocol):
    """Who has the keys."""

    @property
    def locksmith(self) -> Locksmith:
        """Who makes and changes them."""
        ...


class Rotation(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    until: Moment | None = None


def add_keys(app: FastAPI, desk: KeyDesk, guarded: Sequence[Any], wall: Callable[[], float]) -> None:
    """Add the addresses. ``desk`` is not looked at before somebody asks."""

    @app.get("/admin/keys", dependencies=guarded)
    async def list_keys() -> Response:
        """All keys, without their secrets and hashes."""
        return _json({"keys": await desk.locksmith.list()})

    @app.post("/admin/keys", dependencies=guarded)
    async def create_key(request: Request) -> Response:
        """Make a key, of what a key of the configuration may say; its secret is in ``key``, this once."""
        return _json(await desk.locksmith.create(await _body(request)), 201)

    @app.get("/admin/keys/{id}", dependencies=guarded)
    async def show_key(id: str) -> Response:
        """One key, without its secrets and hashes."""
        return _json(await desk.locksmith.show(id))

    @app.patch("/admin/keys/{id}", dependencies=guarded)
    async def change_key(id: str, request: Request) -> Response:
        """Change what is named; null takes it out."""
        return _json(await desk.locksmith.change(id, await _body(request)))

    @app.delete("/admin/keys/{id}", dependencies=guarded)
    async def revoke_key(id: str) -> Response:
        """The key opens no more, and is forgotten."""
        await desk.locksmith.revoke(id)
        return Response(status_code=204)

    @app.post("/admin/keys/{id}/rotate", dependencies=guarded)
    async def rotate_key(id: str, request: Request) -> Response:
        """A new secret, in ``key``, this once. The old one opens ``until`` then, or until it is retired."""
        return _json(await desk.locksmith.rotate(id, _until(await _body(request), wall())))

    @app.post("/admin/keys/{id}/retire", dependencies=guarded)
    async def retire_secret(id: str, request: Request) -> Response:
        """The old secret opens no more."""
        await _body(request)
        return _json(await desk.locksmith.retire(id))


def _until(said: Mapping[str, Any], now: float) -> float | None:
    try:
        until = Rotation.model_validate(said).until
    except ValidationError as error:
        member, message = said_of(error, Rotation)
        raise BadRequest(f"{message}.", code="invalid_value", param=member) from None
    if until is not None and until <= now:
        raise BadRequest("until is in the past.", code="invalid_value", param="until")
    return until


async def _body(request: Request) -> dict[str, Any]:
    """What was sent, an object; nothing is an empty one. Raises BadRequest, UnsupportedMedia or PayloadTooLarge."""
    if "json" not in request.headers.get("content-type", "").lower():
        raise UnsupportedMedia("Send application/json.")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST:
            raise PayloadTooLarge(f"The body is larger than {MOST} bytes.")
    return parsed(bytes(data) or b"{}")


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
