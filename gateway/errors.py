"""Every error of the gateway, and the OpenAI envelope that clients see.

Read next: reliability/failures.py, the table that says what each kind of provider failure means.

    GatewayError            a request ends with this status and envelope
    ├── BadRequest          400  the body or a parameter is wrong
    │   └── CannotSay            a member that the chosen provider has no words for, and that may not be dropped
    ├── Unauthorized        401  no key or token, or a wrong one
    ├── Forbidden           403  the key may not do this
    ├── NotFound            404  no such model, or no such address
    ├── MethodNotAllowed    405
    ├── RequestTimeout      408  the body did not come in time
    ├── Conflict            409  what an operator wants to change is something else by now
    ├── PayloadTooLarge     413
    ├── UnsupportedMedia    415  a content type or encoding we do not read
    ├── RateLimited         429  a limit of ours
    ├── OverBudget          429  a budget of ours
    ├── UpstreamFailed      400…504  the plan is spent; carries the last Failure
    └── Unavailable         503  draining, shedding, or no deployment can serve this
    TransportError          one attempt could not be carried out on the wire
    ├── ConnectFailed       refused, DNS, TLS, reset before a byte was sent
    ├── Timeout             nothing came in the time allowed
    ├── Disconnected        the provider closed before the answer was complete
    ├── ProtocolViolation   not HTTP, or over a limit on head, line or body
    └── CredentialFailed    the account's login: nothing was sent
    ConfigError             the configuration cannot be used; carries every Problem found
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

FailureKind = Literal[
    "connect",
    "overloaded",
    "silent",
    "rate",
    "quota",
    "auth",
    "context",
    "filter",
    "client",
    "truncated",
    "stall",
    "garbage",
    "rejected",
]


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed, in the provider's words made safe.

    ``kind`` decides what happens next (see reliability/failures.py); ``status``, ``type``, ``code``, ``param`` and
    ``message`` are what the provider said, with secrets removed; ``retry_after_s`` is how long it asked us to wait.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    in_band: bool = False


class GatewayError(Exception):
    """A request that ends with an error: its HTTP status and the four members of the OpenAI envelope.

    ``headers`` are added to the answer; ``retry_after_s`` becomes ``retry-after`` and ``retry-after-ms``.
    ``x-should-retry`` is said when ``should_retry`` is not None.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    should_retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code

    def envelope(self) -> bytes:
        """The JSON body that every OpenAI client understands, all four members present."""
        return envelope(self.message, self.type, self.param, self.code)


def envelope(message: str, type: str, param: str | None, code: str | None) -> bytes:
    """``{"error": {"message", "type", "param", "code"}}`` as bytes."""
    return msgspec.json.encode({"error": {"message": message, "type": type, "param": param, "code": code}})


class BadRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class CannotSay(BadRequest):
    """A provider's protocol cannot express a member of the request, and to drop it would change its meaning."""

    code = "unsupported_parameter"


#: What everybody is told whose key or token opens nothing, whatever is wrong with it.
NOT_VALID: Final = "The API key is not valid for this gateway, which takes keys of its own and none of a provider."


class Unauthorized(GatewayError):
    """``reason`` is for the operator's metrics: a client is told the same whatever is wrong with what it sent."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"

    def __init__(self, message: str, *, code: str | None = None, reason: str | None = None) -> None:
        super().__init__(message, code=code)
        self.reason = reason or self.code or "unauthorized"


class Forbidden(GatewayError):
    status = 403
    type = "permission_error"
    code = "not_allowed"


class NotFound(GatewayError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(GatewayError):
    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class Conflict(GatewayError):
    status = 409
    type = "invalid_request_error"
    code = "conflict"


class PayloadTooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"
    code = "payload_too_large"


class UnsupportedMedia(GatewayError):
    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class RateLimited(GatewayError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class OverBudget(GatewayError):
    """A budget does not hold what the request might cost: to try again before it begins anew is of no use."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class Unavailable(GatewayError):
    status = 503
    type = "server_error"
    code = "unavailable"


class UpstreamFailed(GatewayError):
    """The plan is spent. ``failure`` is the last attempt's; the status follows its kind."""

    type = "upstream_error"
    should_retry = False

    def __init__(
        self,
        failure: Failure,
        *,
        status: int,
        type: str,
        code: str | None,
        message: str,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.failure = failure
        self.status = status
        self.type = type
        self.code = code


class TransportError(Exception):
    """One attempt could not be carried out on the wire; the message names the origin and what happened."""


class ConnectFailed(TransportError):
    """No connection: refused, name not found, TLS failed, or reset before anything was answered."""


class Timeout(TransportError):
    """Nothing came in the time allowed. ``phase`` is connect, first_byte or stall."""

    def __init__(self, message: str, phase: Literal["connect", "first_byte", "stall"]) -> None:
        super().__init__(message)
        self.phase = phase


class Disconnected(TransportError):
    """The provider closed the connection before the answer was complete."""


class ProtocolViolation(TransportError):
    """What came was not HTTP, or went over a limit on head, line or body."""


class CredentialFailed(TransportError):
    """The login of an account has nothing to send a request with; the message holds no secret.

    ``refused``: it will not have until somebody changes something. Else whoever grants it could not be reached.
    """

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class Problem(Struct, frozen=True):
    """One thing wrong with a configuration file. ``line`` and ``column`` count from 1; 0 where there is none."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.severity}: {self.message}{hint}"


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds every error found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
