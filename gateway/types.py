"""The words of the gateway: the frozen values that every part speaks in.

Read next: pipeline.py, which passes them from verb to verb.

All of them are immutable msgspec structs: cheap to make, compared by value, and encoded as JSON by the decision
log as they stand. Times named ``*_at`` are seconds on the monotonic clock; ``*_s`` are durations in seconds;
money is in integer micro-dollars (a price of 1 USD per million tokens is 1 micro-dollar a token).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from gateway.errors import Failure

__all__ = [
    "BYTES_PER_TOKEN",
    "LARGEST_IMAGE",
    "Account",
    "Admission",
    "Asked",
    "Attempt",
    "Backoff",
    "Budget",
    "Burden",
    "Call",
    "Caller",
    "Cooling",
    "Decision",
    "Deployment",
    "Dialect",
    "Endpoint",
    "Exchange",
    "Features",
    "Fetch",
    "Funds",
    "Hedge",
    "IntentRule",
    "Issuer",
    "Journal",
    "Key",
    "Limits",
    "Login",
    "Match",
    "Money",
    "Native",
    "Part",
    "Period",
    "Place",
    "Plan",
    "Policy",
    "Price",
    "Reason",
    "Reliability",
    "Requirements",
    "Rescue",
    "Role",
    "Route",
    "Scope",
    "Secret",
    "Server",
    "Shift",
    "Signal",
    "Snapshot",
    "Strategy",
    "Team",
    "Tier",
    "Timeouts",
    "Try",
    "Usage",
    "Verdict",
    "WireRequest",
    "World",
]

#: Bytes of JSON text in one token, on average over English prose and code; families differ by about a quarter.
BYTES_PER_TOKEN: Final = 4

#: Tokens that a picture is counted as at the very most: one of eight tiles at gpt-4o-mini.
LARGEST_IMAGE: Final = 48_169

Networks = tuple[IPv4Network | IPv6Network, ...]
Operation = Literal["chat", "count_tokens"]
Dialect = Literal["openai", "anthropic"]


class Secret:
    """A provider key or token. It shows itself to nobody but the caller of ``reveal()``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: only for the header that carries it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


# --- what the configuration names -------------------------------------------------------------------------------


class Price(Struct, frozen=True):
    """What a deployment charges, in micro-dollars per million tokens (0.15 USD per million = 150_000).

    A figure is None where the provider has no price of its own for such tokens. Then those read from its cache or
    written to it cost what input costs, and so does sound; cached sound costs what sound costs. ``cache_write_1h`` is
    for what stays an hour, None where that costs no more. Reasoning, spoken and drawn output cost what output costs.
    ``request`` is for each request, in micro-dollars per million of them. ``tiers`` are the prices of long requests,
    the least long first.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    source: str = "config"
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    cached_audio: int | None = None
    image_output: int | None = None
    request: int = 0
    tiers: tuple[Tier, ...] = ()


class Tier(Struct, frozen=True):
    """What all tokens of a request cost whose input, cached or not, is more than ``above`` tokens.

    The price has no tiers of its own.
    """

    above: int
    price: Price


class Timeouts(Struct, frozen=True):
    """How long each part of one attempt may take, in seconds.

    ``first_byte`` bounds the wait for any answer, ``first_token`` that for the first content of a stream (None: as
    reliability/load.py has learnt it). In a stream that has begun no byte for ``stall`` ends it, and so does no
    content for ``no_content``, whatever else comes.
    """

    connect: float = 3.0
    first_byte: float = 300.0
    first_token: float | None = None
    stall: float = 15.0
    no_content: float = 60.0
    total: float = 600.0


class Login(Struct, frozen=True):
    """How an account proves who it is where no key does: at whose login, and what the operator says for it."""

    kind: Literal["aws", "google", "azure_ad"]
    params: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, Secret], ...] = ()

    def param(self, name: str) -> str | None:
        """What is said of that name, None when nothing is."""
        return dict(self.params).get(name)

    def secret(self, name: str) -> Secret | None:
        """The secret of that name, None when there is none."""
        return dict(self.secrets).get(name)


class Account(Struct, frozen=True, eq=False):
    """An account at a provider: where it is, who runs it, and what opens it: keys, or a login (``auth``).

    ``project`` is what Google Cloud calls one.
    """

    name: str
    kind: str
    base_url: str
    keys: tuple[Secret, ...] = ()
    region: str | None = None
    company: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    api_version: str | None = None
    allow_private: bool = False
    transport: Literal["http1", "httpx2", "simulated"] = "http1"
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    auth: Login | None = None
    project: str | None = None


class Deployment(Struct, frozen=True, eq=False):
    """A model at a provider account.

    ``quality`` maps an intent label (or ``default``) to an expected quality in 0..1. ``price`` is None when it is
    unknown; an unknown price is never taken as zero. ``capabilities`` is None when nothing is known, which does
    not exclude the deployment from anything. ``prefill``: it goes on from the beginning of an answer;
    ``reasoning``: it thinks before it answers, and is silent meanwhile. ``thinking`` is how it is told how much: by a
    ``budget`` of tokens, by a ``level``, or to be ``adaptive`` to an effort; a model with ``none`` is not told, since
    it does not think or always does; None is unknown. Protocols read it, and ``max_output``, rather than names of
    models. ``cannot`` names what its protocol has no words for, of the needs in intent/features.py. ``image_tokens`` is
    the most that it counts a picture as.
    ``rpm``, ``tpm`` and ``concurrency`` are what its provider allows: the last in requests at once, over the fleet.
    """

    name: str
    account: Account
    model: str
    price: Price | None = None
    context_window: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    quality: Mapping[str, float] = {}
    prefill: bool = False
    reasoning: bool = False
    thinking: Literal["none", "budget", "adaptive", "level"] | None = None
    cannot: frozenset[str] = frozenset()
    weight: float = 1.0
    rpm: int | None = None
    tpm: int | None = None
    image_tokens: int | None = None
    concurrency: int | None = None

    @property
    def takes_choices(self) -> bool:
        """Whether several choices can be asked for in one call."""
        return "choices" not in self.cannot and (self.capabilities is None or "choices" in self.capabilities)

    @property
    def simulated(self) -> bool:
        """Whether its answers are made up by the built-in simulator."""
        return self.account.transport == "simulated"


#: ``off``: the client is told in the stream. ``continue``: another try is given what went out as the beginning of its
#: answer, where its deployment takes that. ``splice``: where not, it answers anew, and what equals the beginning is
#: left out; any difference ends it.
Rescue = Literal["off", "continue", "splice"]


class Hedge(Struct, frozen=True, omit_defaults=True):
    """A second try beside a slow first one: the first content wins.

    ``after_s``: how long the first may be without content; None: its usual 95th percentile. ``extra``: the share of
    requests that may be hedged at most.
    """

    after_s: float | None = None
    extra: float = 0.02


class Backoff(Struct, frozen=True, omit_defaults=True):
    """How long to wait before the same deployment is tried again (full jitter), in seconds."""

    base_s: float = 0.25
    base_rate_limited_s: float = 1.0
    cap_s: float = 4.0
    retry_after_max_s: float = 3.0


class Strategy(Protocol):
    """How the deployments of a pool are put in order. policy/strategies holds them; each is its own YAML."""

    @property
    def name(self) -> str:
        """The word that selects it in YAML."""
        ...

    @property
    def reason(self) -> str:
        """The routing reason of a request that this strategy decided."""
        ...

    @property
    def weighs(self) -> bool:
        """Whether it looks at how busy deployments are."""
        ...

    @property
    def two_choices(self) -> bool:
        """Whether the best of two drawn deployments comes first, rather than the best of all."""
        ...

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """A score, lower is better, or the reason why this deployment cannot be chosen."""
        ...


class Match(Struct, frozen=True):
    """When a route applies. Every condition that is given must hold; an empty one always does.

    ``intents``: one of these labels was signalled. ``needs``: all of these are needed. ``tags``: these tags have
    one of these values. ``models``: the client named one of these. ``keys``: one of these keys asks.
    """

    intents: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    tags: Mapping[str, frozenset[str]] = {}
    models: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    min_input_tokens: int | None = None
    max_input_tokens: int | None = None


class Requirements(Struct, frozen=True):
    """What every deployment of a policy must have, whoever asks."""

    regions: frozenset[str] = frozenset()
    companies: frozenset[str] = frozenset()


class Policy(Struct, frozen=True, eq=False):
    """Which deployments may serve, in what order, and how hard to try.

    ``fallback`` deployments are tried, in the order given, only when the pool has failed. ``attempts`` bounds all
    tries of a request, ``same_target`` the extra ones at one deployment, ``total_s`` is their common deadline.
    ``rescue`` says what is done about a stream that breaks off after its content has begun to go out. When nothing
    can serve, an earlier answer to the same request may be at most ``degrade_s`` old; None: none is kept.
    ``lower_max_tokens``: a request that a budget does not hold may get a shorter answer instead of none.
    ``reference`` is the deployment whose price everything is compared with.
    """

    pool: tuple[str, ...]
    strategy: Strategy
    fallback: tuple[str, ...] = ()
    require: Requirements = Requirements()
    attempts: int = 4
    same_target: int = 1
    total_s: float = 600.0
    backoff: Backoff = Backoff()
    rescue: Rescue = "continue"
    hedge: Hedge | None = None
    degrade_s: float | None = None
    shift: Shift | None = None
    lower_max_tokens: bool = False
    reference: str | None = None


class Route(Struct, frozen=True, eq=False):
    """A name that clients may ask for, the requests it takes, and the policy it applies."""

    name: str
    match: Match
    policy: Policy


#: A budget begins anew with each of these, in UTC: a week on Monday; ``total`` never does.
Period = Literal["hour", "day", "week", "month", "year", "total"]


class Budget(Struct, frozen=True):
    """What may be spent in each period. ``alert_at`` are the shares of it that somebody is told of."""

    micros: int
    per: Period = "month"
    alert_at: tuple[float, ...] = (0.8, 1.0)


class Limits(Struct, frozen=True):
    """How much may be asked: requests and tokens a minute, and requests at once; None is no limit."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


class Scope(Struct, frozen=True):
    """Somebody with a budget or limits of their own: ``organisation:…``, ``team:…``, ``key:…`` or ``user:…``.

    That of each end user of a team or key is a template, whose name ends in ``/``: the user's follows, and ``of`` is
    the template's.
    """

    name: str
    budget: Budget | None = None
    limits: Limits | None = None
    of: str | None = None


class Team(Struct, frozen=True):
    """Callers that are reckoned with together. ``scopes`` are its organisation's and its own."""

    name: str
    organisation: str | None = None
    scopes: tuple[Scope, ...] = ()
    each_user: Scope | None = None
    tags: Mapping[str, str] = {}


class Money(Struct, frozen=True):
    """What holds for all budgets.

    While the shared state cannot be asked, or has lost its data, each replica may spend ``grace`` micro-dollars of each
    budget beyond its lease; nothing where ``on_state_loss`` is ``closed``. ``ledger`` is a file that survives a crash.
    ``webhook`` is told of shares of budgets that have been spent, signed with ``webhook_secret``.
    """

    on_state_loss: Literal["grace", "closed"] = "grace"
    grace: int = 1_000_000
    unknown_price: Literal["refuse", "allow"] = "refuse"
    ledger: str | None = None
    webhook: Secret | None = None
    webhook_secret: Secret | None = None


class Shift(Struct, frozen=True, omit_defaults=True):
    """As a budget runs out: from this share of it on, a growing part of the traffic goes to cheaper deployments.

    Those of the pool, or the ones named by ``to``.
    """

    since: float = 0.8
    to: tuple[str, ...] = ()


class Key(Struct, frozen=True, eq=False):
    """A virtual key. ``secret_hashes`` are lower-case hex HMAC-SHA256 digests of the whole key, one or two.

    Of two, the second is that of the secret which is being replaced: it opens until ``retires_at`` (Unix time), or,
    where that is None, until it is taken out.
    """

    caller: Caller
    secret_hashes: tuple[str, ...]
    enabled: bool = True
    retires_at: float | None = None


class Issuer(Struct, frozen=True, eq=False):
    """Whose tokens stand for a caller, and what their claims mean. A claim is named by the way to it.

    A token is for us when ``iss`` is ``issuer`` and ``aud`` has one of ``audiences``; its key is one of those at
    ``jwks``, an address or the path of a file (None: at the address that the issuer's own configuration names).
    ``callers`` are what callers are by a value of the claim ``team``, ``default`` what they are without any; None is
    nobody. ``user`` is the claim of the end user (None: a hash of the subject), ``tags`` those that become tags.
    Each claim of ``require`` has one of these values; none is named where any will do.
    """

    name: str
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    jwks: str | None = None
    team: tuple[str, ...] | None = None
    callers: Mapping[str, Caller] = {}
    default: Caller | None = None
    user: tuple[str, ...] | None = None
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    require: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = ()
    leeway_s: float = 30.0
    max_age_s: float | None = None
    allow_private: bool = False


class IntentRule(Struct, frozen=True):
    """An intent that the operator names: any of these words, or any of these RE2 patterns, in the last user turn."""

    label: str
    keywords: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class Server(Struct, frozen=True):
    """Where the gateway listens, and what it takes from clients. Read once, at start.

    ``trusted_proxies`` are the networks of load balancers, which are believed whom they speak for.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"
    admin_port: int = 9464
    admin_token: Secret | None = None
    max_body: int = 10 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    drain_delay_s: float = 10.0
    drain_s: float = 600.0
    trusted_proxies: Networks = ()


class Journal(Struct, frozen=True):
    """Where decision records are written on this machine. ``path`` None: nowhere."""

    path: str | None = None
    max_bytes: int = 256 * 1024 * 1024


class Admission(Struct, frozen=True):
    """How many requests are served at once, and how the others wait.

    ``queue`` may wait for ``wait_s`` at most, urgent ones first; beyond that, and while the event loop lags by
    ``lag_s``, requests are turned away at once.
    """

    max_inflight: int = 1000
    queue: int = 100
    wait_s: float = 1.0
    lag_s: float = 0.25


class Reliability(Struct, frozen=True):
    """When a deployment is left alone, and how providers are asked.

    The breaker of a model at an account opens for ``open_s`` after ``min_failures`` within ``window_s``, if they are
    at least ``ratio`` of all calls. ``stream``: ``auto`` asks for a stream also for clients that want a whole answer,
    wherever that loses nothing; ``as_client`` asks as the client did.
    """

    min_failures: int = 3
    ratio: float = 0.5
    window_s: float = 30.0
    open_s: float = 30.0
    idle_probe_s: float = 5.0
    keepalive_s: float = 15.0
    stream: Literal["auto", "as_client"] = "auto"


class Fetch(Struct, frozen=True):
    """Whether the gateway itself fetches files that clients name by their address, for protocols that take only bytes.

    ``max_bytes`` bounds all files of one request together, ``timeout_s`` the time for them. ``hosts`` are those that
    are asked, all public ones when it is empty. ``allow_private`` also takes plain http and private networks.
    """

    allow: bool = False
    max_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 5.0
    hosts: frozenset[str] = frozenset()
    allow_private: bool = False


class World(Struct, frozen=True, eq=False):
    """One configuration, validated and immutable. Requests in flight keep theirs when another takes its place.

    ``version`` is a hash of what was configured. ``auth`` False means that anybody may ask. ``aliases`` maps names
    that clients use to the names of deployments, routes or ``auto``. ``keys`` are the configured ones by id, and
    ``pepper`` is what all keys are hashed with. ``issuers`` are those whose tokens count as keys do. ``state`` is a
    Redis address, or None.
    """

    version: str
    deployments: Mapping[str, Deployment]
    routes: tuple[Route, ...]
    aliases: Mapping[str, str] = {}
    keys: Mapping[str, Key] = {}
    issuers: tuple[Issuer, ...] = ()
    pepper: Secret | None = None
    auth: bool = False
    intents: tuple[IntentRule, ...] = ()
    server: Server = Server()
    journal: Journal = Journal()
    admission: Admission = Admission()
    reliability: Reliability = Reliability()
    fetch: Fetch = Fetch()
    teams: Mapping[str, Team] = {}
    money: Money = Money()
    state: Secret | None = None
    source: str = ""

    @property
    def callers(self) -> list[Caller]:
        """All whom the configuration knows: those with keys, and those that issuers vouch for."""
        vouched = [one for issuer in self.issuers for one in (*issuer.callers.values(), issuer.default)]
        return [key.caller for key in self.keys.values()] + [one for one in vouched if one is not None]

    @property
    def budgeted(self) -> bool:
        """Whether anybody has a budget."""
        of_callers = [scope for caller in self.callers for scope in (*caller.scopes, *caller.each_user)]
        of_teams = [scope for team in self.teams.values() for scope in (*team.scopes, team.each_user)]
        return any(scope is not None and scope.budget is not None for scope in (*of_callers, *of_teams))


# --- what the client asked --------------------------------------------------------------------------------------


class Caller(Struct, frozen=True):
    """Who asks: a virtual key, a token's subject, or ``anonymous`` where the configuration asks for none.

    ``scopes`` are all that it is reckoned with, from the widest to its own, and ``each_user`` those of its end users.
    It may be used until ``expires_at`` (Unix time), from ``networks``. None is no restriction. ``user`` is the end user
    whom it is for, whatever its requests say.
    """

    id: str
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None
    tags: Mapping[str, str] = {}
    organisation: str | None = None
    team: str | None = None
    operations: frozenset[str] | None = None
    priority: Literal["interactive", "batch"] | None = None
    networks: Networks | None = None
    expires_at: float | None = None
    scopes: tuple[Scope, ...] = ()
    each_user: tuple[Scope, ...] = ()
    user: str | None = None

    @property
    def tenant(self) -> str:
        """With whom it shares what there is too little of, as one: its team, else the key by itself."""
        return self.team or self.id


class Native(Struct, frozen=True, eq=False):
    """A request in the words of a client whose dialect is not the canonical one.

    ``fields`` is its decoded body, ``headers`` what of its head is meant for the provider, names in lower case.
    """

    fields: Mapping[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Call(Struct, frozen=True, eq=False):
    """One request as the client made it: what was judged is what is sent.

    ``fields`` is the decoded body in the canonical form, OpenAI's with what docs/translation.md adds to it (unknown
    members kept); ``native`` is the body as it came, where the client's dialect is another. ``model`` is what the
    client named; ``include_usage`` says whether a streaming client asked for the usage chunk. ``deadline_at`` is the
    caller's own deadline. ``user`` is the end user that the client names. ``added`` are bytes that the gateway has put
    back into earlier turns.
    """

    id: str
    operation: Operation
    dialect: Dialect
    model: str
    stream: bool
    include_usage: bool
    fields: Mapping[str, Any]
    size: int
    received_at: float
    tags: Mapping[str, str] = {}
    deadline_at: float | None = None
    native: Native | None = None
    user: str | None = None
    added: int = 0


class Features(Struct, frozen=True, omit_defaults=True):
    """Facts read off a call; no judgement.

    ``input_tokens`` is an estimate from bytes. ``needs`` names the capabilities that an answer will take.
    ``conversation`` is a stable 64-bit id of how the conversation began, the same on each of its turns.
    ``prefix`` is one of all that stands before its first user turn. ``reasoning``: the client asks for an effort of it.
    ``most_input`` is what no count of its input is above, its ``images`` at LARGEST_IMAGE each. Of it may be
    ``most_audio`` sound, and ``most_loose`` media that only a model's window bounds.
    """

    input_tokens: int
    max_output: int | None
    turns: int
    needs: frozenset[str]
    conversation: int
    tool_results: bool = False
    code: bool = False
    reasoning: bool = False
    prefix: int = 0
    most_input: int = 0
    most_audio: int = 0
    most_loose: int = 0
    images: int = 0


class Signal(Struct, frozen=True, omit_defaults=True):
    """A judgement about a call: what (``intent``), which (``label``), how sure (0..1), and by whom."""

    name: str
    label: str
    confidence: float
    by: str


class Asked(Struct, frozen=True, eq=False):
    """All that a decision may know of a request. ``seed`` is the only source of chance."""

    call: Call
    caller: Caller
    features: Features
    signals: tuple[Signal, ...]
    seed: int


# --- a decision -------------------------------------------------------------------------------------------------


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why, as a code and its arguments. policy/explain.py renders it as a sentence when somebody reads it."""

    code: str
    args: tuple[str | int | float, ...] = ()


class Verdict(Struct, frozen=True, omit_defaults=True):
    """One deployment's fate in a decision: its score (lower is better), or the reason why not."""

    deployment: str
    score: float | None
    why: Reason | None = None


Part = Literal["primary", "retry", "key", "fallback"]
#: The same of a try that was made: also beside a slow one, or to go on with a stream that broke off (see Rescue).
Role = Literal[Part, "hedge", "continue", "splice"]


class Try(Struct, frozen=True, omit_defaults=True):
    """One planned attempt at a deployment, not before ``wait_s`` after the decision.

    ``key``: with another key of the same account, when the one before was refused.
    """

    deployment: str
    part: Part = "primary"
    wait_s: float = 0.0


class Plan(Struct, frozen=True, omit_defaults=True):
    """The tries in order, and the rules they share. ``total_s`` is the one deadline of all of them."""

    tries: tuple[Try, ...]
    total_s: float
    backoff: Backoff = Backoff()
    rescue: Rescue = "continue"
    hedge: Hedge | None = None


class Decision(Struct, frozen=True, omit_defaults=True):
    """What was decided, and all that is needed to replay and to explain it.

    ``reason`` is a member of the closed set ROUTING_REASONS, with its argument after a colon.
    """

    route: str
    reason: str
    plan: Plan
    verdicts: tuple[Verdict, ...]
    strategy: str
    policy: str
    seed: int
    funds: Funds | None = None


class Cooling(Struct, frozen=True):
    """What is left alone until ``until_at`` (monotonic seconds), and the kind of failure that made it so.

    Beside the kinds of failure: ``breaker``, too many failures; ``limit``, the request does not fit into what the
    provider allows now; ``share``, it would, but of what little is left this tenant has had more than its share;
    ``too_large``, it never will; ``full``, as many requests are under way as it takes. The field ``share`` is the part
    of the traffic that goes elsewhere: 1 is all of it.
    """

    until_at: float
    kind: str
    share: float = 1.0


class Burden(Struct, frozen=True):
    """How a deployment fares: what strategies that balance load look at.

    ``wait_s`` is its peak-EWMA of the time to first content, 0 while unknown; ``left`` the share of its provider's
    limits that remains, 0 to 1. Both are quantised to thousandths, so that a decision replays bit for bit.
    """

    inflight: int = 0
    wait_s: float = 0.0
    left: float = 1.0


class Place(Struct, frozen=True):
    """Where a candidate stands: its ``position`` in a pool of ``size`` as configured, the ``turn``, and its load."""

    position: int
    size: int = 1
    turn: int = 0
    load: Burden = Burden()


class Funds(Struct, frozen=True, omit_defaults=True):
    """How a request's budgets stand: of the tightest, ``scope``, ``used`` is settled or leased, as of ``age_s`` ago.

    ``used`` is in thousandths, so that a decision replays bit for bit; ``left`` are the micro-dollars that a request
    may still take of all of them, and ``least`` is the budget that has no more than that, where it is another one.
    """

    scope: str
    used: int
    left: int
    age_s: float = 0.0
    least: str | None = None


class Snapshot(Struct, frozen=True):
    """Everything outside the request that a decision may look at, as of ``at`` (monotonic seconds).

    ``cooling`` has only deployments that are not asked as usual, ``load`` only those under load, and nothing where no
    strategy looks at it. ``turn`` counts requests, for those that take turns. ``funds`` is None without a budget.
    """

    at: float
    cooling: Mapping[str, Cooling] = {}
    load: Mapping[str, Burden] = {}
    turn: int = 0
    funds: Funds | None = None


ROUTING_REASONS: Final = frozenset(
    {
        "forced_by_client",
        "rule",
        "cost_optimal",
        "quality_best",
        "latency_best",
        "intent",
        "semantic",
        "weighted",
        "bandit",
        "experiment",
        "sticky",
        "budget_shift",
        "overflow",
        "breaker_open",
        "fallback",
        "cascade_escalated",
        "cache_exact",
        "cache_semantic",
        "default",
    }
)

# --- on the wire ------------------------------------------------------------------------------------------------


class Endpoint(Struct, frozen=True, eq=False):
    """Where requests of one deployment and key go. Made once, so that a transport may keep what it builds for it.

    ``headers`` have lower-case names and carry everything but ``host`` and ``content-length``.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    max_connections: int = 1000

    @property
    def origin(self) -> str:
        """``scheme://host:port``, the unit of connection pooling."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class WireRequest(Struct, frozen=True, eq=False):
    """A request as it goes to a provider. ``headers`` are those of this request alone."""

    endpoint: Endpoint
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


# --- what happened ----------------------------------------------------------------------------------------------


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one answer. All others are parts of ``input`` or ``output``.

    ``cached_input`` was read from the provider's cache and ``cache_write`` written to it: ``cache_write_1h`` are those
    of it that stay for an hour. ``audio_input`` is sound, ``cached_audio`` what of it was cached. Output is text but
    for ``reasoning``, ``audio_output`` and ``image_output``. ``estimated`` says that the provider reported nothing and
    we counted.
    """

    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    estimated: bool = False
    audio_input: int = 0
    cached_audio: int = 0
    audio_output: int = 0
    image_output: int = 0

    def __add__(self, more: Usage) -> Usage:
        """The tokens of two parts of one answer."""
        return Usage(
            self.input + more.input,
            self.output + more.output,
            self.cached_input + more.cached_input,
            self.cache_write + more.cache_write,
            self.cache_write_1h + more.cache_write_1h,
            self.reasoning + more.reasoning,
            self.estimated or more.estimated,
            self.audio_input + more.audio_input,
            self.cached_audio + more.cached_audio,
            self.audio_output + more.audio_output,
            self.image_output + more.image_output,
        )


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One try as it went. Times are seconds since the request was received.

    ``failure`` is None for a success, and when nobody waited for it any more (``cancelled``): the client left, or
    another try was faster. ``part`` is what it was for: ``retry`` and ``key`` are at the deployment of the try before.
    ``first_s`` is when the first content came: with a ``failure`` the answer broke off after that.
    """

    n: int
    deployment: str
    provider: str
    model: str
    started_s: float
    ended_s: float
    part: Role = "primary"
    first_s: float | None = None
    status: int | None = None
    failure: Failure | None = None
    cancelled: bool = False
    usage: Usage | None = None
    cost: int | None = None
    provider_request_id: str | None = None


class Exchange(Struct, frozen=True, omit_defaults=True):
    """One request's whole story, closed: what every sink reads, exactly one for each request.

    ``outcome`` is one of OUTCOMES. ``cost`` is the sum over all attempts in micro-dollars, None when a price was
    unknown. ``overhead_s`` is the time spent in the gateway itself: from the last byte of the request to the
    first try, plus from the provider's first byte to ours. ``dropped`` names what of the request the provider that
    served was not told, since it has no words for it. ``baseline`` is what the route's reference deployment would have
    cost. ``warnings`` are sentences for the client.
    """

    id: str
    at: float
    operation: str
    caller: str
    outcome: str
    status: int
    total_s: float
    overhead_s: float
    model: str | None = None
    stream: bool = False
    world: str = ""
    tags: Mapping[str, str] = {}
    features: Features | None = None
    signals: tuple[Signal, ...] = ()
    snapshot_age_s: float = 0.0
    decision: Decision | None = None
    attempts: tuple[Attempt, ...] = ()
    deployment: str | None = None
    served_model: str | None = None
    provider: str | None = None
    ttft_s: float | None = None
    usage: Usage | None = None
    cost: int | None = None
    error: str | None = None
    message: str | None = None
    simulated: bool = False
    client: str | None = None
    retry: int = 0
    dialect: Dialect = "openai"
    dropped: tuple[str, ...] = ()
    organisation: str | None = None
    team: str | None = None
    user: str | None = None
    baseline: int | None = None
    warnings: tuple[str, ...] = ()
    schema: int = 1


OUTCOMES: Final = (
    "ok",
    "fallback_ok",
    "degraded",
    "client_error",
    "rate_limited",
    "budget",
    "upstream_error",
    "timeout",
    "cancelled",
    "shed",
    "gateway_error",
)
