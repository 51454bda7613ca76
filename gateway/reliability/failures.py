"""The meaning table: what each kind of provider failure does to retry, failover, the account and the client.

Read next: errors.py for the kinds themselves; said.py and retry_after.py for what is read off a provider's answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from gateway.errors import Failure, FailureKind, UpstreamFailed
from gateway.reliability.retry_after import MAX_WAIT_S, retry_after, seconds_in
from gateway.reliability.said import Said
from gateway.reliability.sanitise import sanitise

__all__ = ["MEANING", "Meaning", "classify", "cooling_s", "sanitise", "to_client"]

Headers = Sequence[tuple[bytes, bytes]]


class Meaning(Struct, frozen=True):
    """One row of the table.

    ``same_target``: whether the same deployment is tried again: ``never``, ``once`` after a short jitter, or
    ``wait`` for as long as the provider asked, if that is short. ``other_target``: whether another may serve it:
    ``larger_window`` only one with a larger context window, ``equivalent_first`` the same model elsewhere before
    another model. ``cool_s``: seconds for which ``cools`` is left alone, None for not at all.
    ``client_status``, ``client_type``, ``client_code``, ``sentence``: what the client sees when nothing is left;
    None for a status, type or code that is the provider's own, which ``passes`` then lets through with the message.
    ``retry_s``: the wait that the client is told of when the provider named none; None where waiting does not help.
    """

    same_target: Literal["never", "once", "wait"]
    other_target: Literal["yes", "no", "larger_window", "equivalent_first"]
    client_status: int | None
    client_type: str
    client_code: str
    sentence: str
    cool_s: float | None = None
    cools: Literal["deployment", "account"] = "deployment"
    passes: bool = False
    retry_s: float | None = None


UPSTREAM: Final = "upstream_error"
INVALID: Final = "invalid_request_error"

MEANING: Final[Mapping[FailureKind, Meaning]] = {
    "connect": Meaning(
        "once", "yes", 502, UPSTREAM, "upstream_unreachable", "no connection to the provider could be made", cool_s=0
    ),
    "overloaded": Meaning(
        "once",
        "yes",
        503,
        UPSTREAM,
        "upstream_overloaded",
        "the provider could not serve the request; try again shortly",
        cool_s=0,
        retry_s=1.0,
    ),
    "silent": Meaning(
        "never", "yes", 504, UPSTREAM, "upstream_timeout", "the provider sent no content in the time allowed", cool_s=0
    ),
    "rate": Meaning(
        "wait",
        "equivalent_first",
        429,
        "rate_limit_error",
        "upstream_rate_limited",
        "the provider's rate limit is reached; try again later",
        cool_s=1.0,
        retry_s=1.0,
    ),
    "quota": Meaning(
        "never",
        "yes",
        503,
        UPSTREAM,
        "upstream_quota",
        "the gateway's account at the provider is out of credit or quota; tell whoever runs the gateway",
        cool_s=900.0,
        cools="account",
    ),
    "auth": Meaning(
        "never",
        "yes",
        502,
        UPSTREAM,
        "upstream_auth",
        "the provider refused the gateway's own credentials; your key is fine; tell whoever runs the gateway",
        cool_s=300.0,
        cools="account",
    ),
    "context": Meaning(
        "never",
        "larger_window",
        400,
        INVALID,
        "context_length_exceeded",
        "the request is longer than the model's context window",
        passes=True,
    ),
    "filter": Meaning(
        "never", "no", 400, INVALID, "content_filter", "the provider's content filter refused the request", passes=True
    ),
    "client": Meaning(
        "never", "no", None, INVALID, "invalid_request", "the provider refused the request as invalid", passes=True
    ),
    "truncated": Meaning(
        "once",
        "yes",
        502,
        UPSTREAM,
        "upstream_truncated",
        "the provider's answer ended before it was complete",
        cool_s=0,
    ),
    "stall": Meaning(
        "never", "yes", 504, UPSTREAM, "upstream_stalled", "the provider's answer stopped half-way", cool_s=0
    ),
    "garbage": Meaning(
        "once", "yes", 502, UPSTREAM, "upstream_garbage", "the provider's answer could not be understood", cool_s=0
    ),
    "rejected": Meaning(
        "never", "yes", 502, UPSTREAM, "upstream_rejected", "no answer was good enough to be handed out"
    ),
}

# Labels are compared in lower case without anything but letters, so that insufficient_quota is InsufficientQuota.
QUOTA: Final = frozenset(
    """
    insufficientquota creditbalanceexhausted organizationspendlimitexceeded projectspendlimitexceeded billingerror
    organizationusagelimitexceeded enforcedspendlimitreached servicequotaexceededexception billinghardlimitreached
    insufficientbalance insufficientcredits paymentrequired quotaexceeded accountoverdue arrearage billingnotactive
    """.split()
)
AUTH: Final = frozenset(
    """
    invalidapikey apikeyinvalid authenticationerror unauthenticated permissiondenied permissionerror unauthorized
    invalidauthentication expiredtokenexception unrecognizedclientexception accessdeniedexception
    """.split()
)
CONTEXT: Final = frozenset(
    """
    contextlengthexceeded toomanyprompttokens toomanytokens exceedcontextsizeerror contextwindowexceeded
    stringabovemaxlength modelcontextwindowexceeded promptistoolong inputtoolong
    """.split()
)
FILTER: Final = frozenset(
    """
    contentfilter contentpolicyviolation responsibleaipolicyviolation contentfiltered moderationblocked
    contentmoderation datainspectionfailed promptblocked
    """.split()
)
OVERLOADED: Final = frozenset(
    """
    overloaded overloadederror serveroverloaded engineoverloaded engineoverloadederror capacityexceeded unavailable
    serviceunavailable serviceunavailableexception servererror internalerror internalservererror apierror
    internalserverexception modelstreamerrorexception modelerrorexception modeltimeoutexception providerunavailable
    provideroverloaded upstreamerror badgateway timeout timeouterror gatewaytimeout deadlineexceeded
    """.split()
)
RATE: Final = frozenset(
    """
    ratelimitexceeded ratelimiterror ratelimited ratelimitreached slowdown throttlingexception throttling
    toomanyrequests toomanyrequestsexception modelnotreadyexception resourceexhausted requests tokens
    """.split()
)
CLIENT: Final = frozenset(
    """
    invalidrequesterror invalidrequest invalidargument badrequest badrequesterror validationexception notfound
    notfounderror modelnotfound validationerror unprocessableentity toolusefailed requesttoolarge
    """.split()
)
#: In-band errors name no status: their labels are asked in this order.
BY_LABEL: Final[tuple[tuple[frozenset[str], FailureKind], ...]] = (
    (QUOTA, "quota"),
    (CONTEXT, "context"),
    (FILTER, "filter"),
    (RATE, "rate"),
    (OVERLOADED, "overloaded"),
    (AUTH, "auth"),
)

TOO_LONG: Final = re.compile(
    r"(?i)maximum context length|context (?:length|window|limit)|(?:available|exceeds? the) context size"
    r"|too many tokens|prompt is too long"
    r"|input is too long|exceeds? the maximum number of tokens|maximum number of input tokens"
    r"|length of all messages is too long|reduce the length of the (?:messages|prompt|input)"
)
OUT_OF_CREDIT: Final = re.compile(
    r"(?i)credit balance is too low|insufficient (?:credits|balance|funds)|out of credits"
    r"|reached your specified API usage limits"
)
BLOCKED: Final = re.compile(r"(?i)blocked by content filtering")
AT_CAPACITY: Final = re.compile(r"(?i)no capacity|capacity exceeded|over ?capacity|at capacity|overloaded")
LETTERS: Final = re.compile(r"[^a-z]+")


def classify(
    status: int | None, headers: Headers, said: Said, *, now_unix: float | None = None, in_band: bool = False
) -> Failure:
    """The failure that an answer is: its kind by status first, then by its labels, by its words only at the end.

    ``status`` is the HTTP status; None, or one below 300, for an error inside an answer that had begun well: the
    status named in the body counts then. ``now_unix`` is only needed for dates in answers without a ``date``.
    """
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    effective = said.status if status is None or 200 <= status < 300 else status
    known = frozenset(map(normal, (*said.labels, named.get("x-amzn-errortype", "").split(":")[0])))
    wait = retry_after(named, now_unix)
    if wait is None:
        wait = said.retry_s if said.retry_s is not None else seconds_in(said.message[:4000])
    return Failure(
        kind=kind_of(effective, known, said),
        message=sanitise(said.message) or f"the provider answered {effective or 'with an error'} and did not say why",
        status=effective,
        type=None if said.type is None else sanitise(said.type),
        code=None if said.code is None else sanitise(said.code),
        param=None if said.param is None else sanitise(said.param),
        retry_after_s=None if wait is None else min(wait, MAX_WAIT_S),
        in_band=in_band,
    )


def kind_of(status: int | None, labels: frozenset[str], said: Said) -> FailureKind:
    if status is None:
        return labelled(labels, said)
    if status == 429:
        return limited(labels, said)
    if status == 402:
        return "quota"
    if status in (401, 403):
        return refused(labels)
    if 500 <= status < 600 or status in (408, 409, 424, 425, 498):
        return "overloaded"
    if 400 <= status < 500:
        return rejected(labels, said)
    return "garbage"


def limited(labels: frozenset[str], said: Said) -> FailureKind:
    """A 429 is a quota when waiting will not help, and an overload when it was not our limit."""
    if labels & QUOTA or said.daily or (said.retry_s or 0) > MAX_WAIT_S:
        return "quota"
    if labels & OVERLOADED or AT_CAPACITY.search(said.message[:4000]):
        return "overloaded"
    return "rate"


def refused(labels: frozenset[str]) -> FailureKind:
    if labels & QUOTA:
        return "quota"
    return "filter" if labels & FILTER else "auth"


def rejected(labels: frozenset[str], said: Said) -> FailureKind:
    """Another 4xx: the client's, but for what the labels, then the words, put elsewhere."""
    kind = labelled(labels - OVERLOADED, said)
    return "client" if kind == "overloaded" else kind


def labelled(labels: frozenset[str], said: Said) -> FailureKind:
    message = said.message[:4000]
    for known, kind in BY_LABEL:
        if labels & known:
            return kind
    if TOO_LONG.search(message):
        return "context"
    if OUT_OF_CREDIT.search(message):
        return "quota"
    if BLOCKED.search(message):
        return "filter"
    return "client" if labels & CLIENT else "overloaded"


def normal(label: str) -> str:
    return LETTERS.sub("", label.lower())


def cooling_s(failure: Failure) -> float | None:
    """How many seconds what failed is left alone (see ``Meaning.cools``); None or 0 for not at all."""
    if failure.kind == "rate" and failure.retry_after_s is not None:
        return failure.retry_after_s
    return MEANING[failure.kind].cool_s


def to_client(failure: Failure, *, retry_after_s: float | None = None) -> UpstreamFailed:
    """The error that ends a request whose plan is spent; ``retry_after_s`` when the caller knows better than it.

    A refusal of our own credentials never reaches the client as one of theirs: it is a 502.
    """
    meaning = MEANING[failure.kind]
    wait = retry_after_s if retry_after_s is not None else failure.retry_after_s
    return UpstreamFailed(
        failure,
        status=meaning.client_status or client_status(failure),
        type=(failure.type if meaning.passes else None) or meaning.client_type,
        code=(word(failure.code) if meaning.passes else None) or meaning.client_code,
        message=failure.message if meaning.passes else spoken(meaning, failure),
        param=failure.param if meaning.passes else None,
        retry_after_s=wait if wait is not None and meaning.retry_s is not None else meaning.retry_s,
    )


def word(code: str | None) -> str | None:
    """A code that is a word: some providers repeat the status there, which tells a client nothing."""
    return None if code is None or code.isdecimal() else code


def client_status(failure: Failure) -> int:
    return failure.status if failure.status is not None and 400 <= failure.status < 500 else 400


def spoken(meaning: Meaning, failure: Failure) -> str:
    return f"{meaning.sentence} (HTTP {failure.status})" if failure.status else meaning.sentence
