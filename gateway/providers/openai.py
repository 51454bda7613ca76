"""OpenAI's Chat Completions protocol, as OpenAI and most others speak it.

Read next: stream.py, for answers that come in chunks; gather.py, for one answer made of them; rows.py, for what
differs between providers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from gateway.errors import Failure
from gateway.providers.fitting import fit
from gateway.providers.gather import Gather
from gateway.providers.mended import call_ids
from gateway.providers.protocol import Answer, Headers, Rendered
from gateway.providers.reached import address_of, endpoint_at, going_on
from gateway.providers.repairs import Body, fitted
from gateway.providers.rows import Row
from gateway.providers.shapes import UNREADABLE, WHOLE, Choice, Message, Whole, answer_of
from gateway.providers.stream import Stream, decoded, fault_in, is_utf8
from gateway.reliability.failures import classify
from gateway.reliability.said import read
from gateway.types import Call, Deployment, Endpoint, Secret

__all__ = ["OpenAI"]


class OpenAI:
    """The protocol for one row. Implements protocol.Protocol."""

    __slots__ = ("row",)

    dialect: Final = "openai"

    def __init__(self, row: Row) -> None:
        self.row = row

    def __repr__(self) -> str:
        return f"the OpenAI protocol as {self.row.kind} speaks it"

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        """Where requests of this deployment go with this key. Raises ValueError for an address without a host."""
        return self._at("POST", self.row.path, deployment, key)

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        """Where the provider lists its models. Raises as ``endpoint``."""
        return self._at("GET", "/models", deployment, key)

    def _at(self, method: str, path: str, deployment: Deployment, key: Secret | None) -> Endpoint:
        account = deployment.account
        address = address_of(account, self.row.base_url)
        target = self._target(address.path.rstrip("/"), deployment) + path
        version = f"api-version={quote(account.api_version, safe='')}" if account.api_version else ""
        own: dict[bytes, bytes] = {}
        if key is not None and self.row.auth == "bearer":
            own[b"authorization"] = b"Bearer " + key.reveal().encode()
        elif key is not None:
            own[b"api-key"] = key.reveal().encode()
        return endpoint_at(account, address, method, target, own, query=version)

    def _target(self, path: str, deployment: Deployment) -> str:
        """The path: that of the base address, and the model's where a dated API has one for each."""
        if self.row.per_deployment and not path.endswith(("/v1", "/models")) and "/deployments/" not in path:
            if deployment.account.api_version is None:
                path += "/v1" if path.endswith("/openai") else "/openai/v1"
            else:
                path = path.removesuffix("/openai") + self.row.per_deployment.format(
                    model=quote(deployment.model, safe="")
                )
        return path

    @property
    def aggregates(self) -> bool:
        """Whether this provider's streams say all that its whole answers do."""
        return self.row.aggregates

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last message, the assistant's, marked as this provider wants it marked."""
        return going_on(call, text, message=dict(self.row.prefill_message), body=dict(self.row.prefill_body))

    def render(self, call: Call, deployment: Deployment, *, stream: bool | None = None) -> Rendered:
        """The client's body with this provider's model, names and stream options, and without what it refuses.

        Members that are unknown here stay: they are between the client and the provider. ``stream`` is what the gateway
        wants, whatever the client asked for; None is as the client asked.
        """
        fields: dict[str, Any] = {**call.fields, "model": deployment.model}
        if stream is None:
            stream = call.stream
        elif stream is not call.stream:
            fields["stream"] = stream
            fields.pop("stream_options", None)
        for old, new in self.row.rename:
            if old in fields:
                value = fields.pop(old)
                fields.setdefault(new, value)
        dropped = fit(fields, self.row, deployment)
        for name in self.row.drop:
            if fields.pop(name, None):
                dropped = (*dropped, name)
        if not self.row.include_usage:
            fields.pop("stream_options", None)
        elif stream:
            fields["stream_options"] = {**(fields.get("stream_options") or {}), "include_usage": True}
        for adjust in self.row.adjust:
            dropped += adjust(fields, deployment)
        return Rendered(msgspec.json.encode(fields), dropped)

    def parse(self, body: bytes, call: Call, deployment: Deployment) -> Answer | Failure:
        """A 2xx answer, untouched when it is valid, repaired when it is not; a Failure when it is none."""
        try:
            whole = WHOLE.decode(body)
        except UNREADABLE:
            return self._repaired(body, call, deployment)
        if not is_plain(whole) or not (body.isascii() or is_utf8(body)):
            return self._repaired(body, call, deployment)
        return answer_of(body, whole)

    def _repaired(self, raw: bytes, call: Call, deployment: Deployment) -> Answer | Failure:
        body = decoded(raw)
        if body is None:
            return unreadable(raw)
        failure = fault_in(body) or incomplete(body)
        if failure is not None:
            return failure
        body["id"] = body.get("id") or f"chatcmpl-{call.id}"
        body["model"] = body.get("model") or deployment.model
        self.row.repairs.apply(body)
        for index, choice in enumerate(body["choices"]):
            if isinstance(message := choice.get("message"), dict):
                call_ids(message, f"call_{call.id}{index or ''}")
        try:
            whole, _ = fitted(body, self.row.repairs, Whole)
        except msgspec.ValidationError as error:
            missing = any(not choice.get("finish_reason") for choice in body["choices"])
            return Failure(kind="truncated" if missing else "garbage", message=f"the answer is not whole: {error}")
        return answer_of(msgspec.json.encode(body), whole)

    def feed(self, call: Call, deployment: Deployment) -> Stream:
        """A reader for one 2xx stream."""
        return Stream(self.row, call, deployment)

    def collect(self, call: Call, deployment: Deployment) -> Gather:
        """A reader that makes one answer of one 2xx stream, or of the JSON that came where one was asked for."""
        return Gather(self.row, call, deployment, partial(self.parse, call=call, deployment=deployment))

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        """What a status outside 2xx means."""
        return classify(status, headers, read(body))


def is_plain(whole: Whole) -> bool:
    """Whether a valid answer also is complete, spells its reasoning, and has an id for every call."""
    return bool(whole.choices) and all(
        spelled(choice.message) and all(call.id for call in choice.message.tool_calls or ()) and not empty(choice)
        for choice in whole.choices
    )


def spelled(message: Message) -> bool:
    return message.reasoning_content is not None or (message.reasoning is None and not message.reasoning_details)


def empty(choice: Choice) -> bool:
    return choice.logprobs is not None and choice.logprobs.content is None and choice.logprobs.refusal is None


def incomplete(body: Body) -> Failure | None:
    if body.get("choices"):
        return None
    return Failure(kind="truncated", message="the provider's answer has no choices")


def unreadable(raw: bytes) -> Failure:
    """A body without a JSON object: cut off, or something else altogether."""
    try:
        msgspec.json.decode(raw)
    except UNREADABLE as error:
        if "truncated" in str(error):
            return Failure(kind="truncated", message=f"the provider's answer is cut off after {len(raw)} bytes")
    return Failure(kind="garbage", message="the provider's answer is not a JSON object in UTF-8")
