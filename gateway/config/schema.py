"""What a configuration may say: every key, its type, its default and its meaning.

Read next: check.py, for what must hold between the parts; build.py, which makes a World of them.

The models are also the JSON schema (load.py) and the reference in docs/configuration.md (document.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.units import (
    Count,
    Duration,
    Hidden,
    HiddenDocument,
    Moment,
    Network,
    Number,
    OneOrMore,
    Size,
    Switch,
    Text,
)
from gateway.policy.strategies import STRATEGIES, Ordered
from gateway.types import Operation, Period, Rescue, Strategy

__all__ = [
    "AdmissionEntry",
    "AlertsEntry",
    "AwsEntry",
    "AzureAdEntry",
    "BreakerEntry",
    "BudgetEntry",
    "BudgetsEntry",
    "CallerEntry",
    "Capability",
    "Config",
    "DegradeEntry",
    "DeploymentEntry",
    "FetchEntry",
    "FiguresEntry",
    "GoogleEntry",
    "HedgeEntry",
    "IntentEntry",
    "IssuerEntry",
    "JournalEntry",
    "KeyEntry",
    "LimitsEntry",
    "LoginEntry",
    "OrganisationEntry",
    "PolicyEntry",
    "PriceEntry",
    "ProviderEntry",
    "ReliabilityEntry",
    "RequireEntry",
    "RetryEntry",
    "RouteEntry",
    "ScopeEntry",
    "ScopeLimitsEntry",
    "ServerEntry",
    "ShiftEntry",
    "StrategyEntry",
    "TeamEntry",
    "TermsEntry",
    "TierEntry",
    "TimeoutsEntry",
    "TokensEntry",
    "UpstreamEntry",
    "WhenEntry",
]

Capability = Literal[
    "tools",
    "json_object",
    "json_schema",
    "vision",
    "audio",
    "audio_output",
    "video",
    "documents",
    "file_ids",
    "web_search",
    "custom_tools",
    "server_tools:openai",
    "server_tools:anthropic",
    "server_tools:google",
    "logprobs",
    "choices",
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
Quality = Annotated[Number, Field(ge=0, le=1)]
#: How much may be asked: of more than so much the sums of a fleet would not be exact any more.
Limit = Annotated[Count, Field(ge=1, le=1_000_000_000_000)]
Port = Annotated[Count, Field(le=65535)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]


class Entry(BaseModel):
    """A part of the document: nothing beside its keys, and no value bent into a type it was not written as."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _mapped(value: Any) -> Any:
    """An empty value where a mapping is meant, as in ``openai:``, is an empty mapping."""
    return {} if value is None else value


def _or_list(one: dict[str, Any]) -> WithJsonSchema:
    """What editors are told of a value that may be one or a list of them."""
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


Names = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
NetworkList = Annotated[tuple[Network, ...], BeforeValidator(_listed)]
Capabilities = Annotated[tuple[Capability, ...], BeforeValidator(_listed)]


_A_QUALITY: Final = {"type": "number", "minimum": 0, "maximum": 1}
_QUALITY_SCHEMA: Final = WithJsonSchema({"anyOf": [_A_QUALITY, {"type": "object", "additionalProperties": _A_QUALITY}]})


class TimeoutsEntry(Entry):
    """How long each part of one attempt may take."""

    connect: Duration = Field(default=3.0, gt=0, description="Until the connection stands, TLS included.")
    first_byte: Duration = Field(
        default=300.0, gt=0, description="From the request until the first byte of any answer."
    )
    first_token: Duration | None = Field(
        default=None,
        gt=0,
        description="From the request until the first content of a stream; by default four times the usual 95th "
        "percentile, 10 to 30 seconds, more for long prompts and for reasoning.",
    )
    stall: Duration = Field(default=15.0, gt=0, description="Between two reads of an answer that has begun.")
    no_content: Duration = Field(
        default=60.0, gt=0, description="Between two pieces of content in a stream that goes on."
    )
    total: Duration = Field(default=600.0, gt=0, description="For the whole attempt.")


class AwsEntry(Entry):
    """Requests signed with an access key of AWS: the one given here, else the first that AWS's credential chain has.

    The key of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`) needs no package;
    profiles, SSO, containers and instances need `pip install 'signalbox-gateway[aws]'`.
    """

    profile: Text | None = Field(default=None, description="Profile of AWS's configuration files.")
    access_key_id: Hidden | None = Field(default=None, description="Id of an access key.")
    secret_access_key: Hidden | None = Field(default=None, description="Its secret.")
    session_token: Hidden | None = Field(default=None, description="The token that comes with one that expires.")


class GoogleEntry(Entry):
    """A token of Google Cloud: of the document given here, else by application default credentials.

    Those are the file that `GOOGLE_APPLICATION_CREDENTIALS` names, that of the command line's login, or the metadata
    server of the machine, which needs no package; files and documents need `pip install 'signalbox-gateway[google]'`.
    """

    credentials: HiddenDocument | None = Field(
        default=None,
        description="A service account, a user or a federated identity: the path of its JSON file, or the JSON itself "
        "as `${file:/path}` or `${NAME}`.",
    )


class AzureAdEntry(Entry):
    """A token of Microsoft Entra ID (Azure AD): of the client given here or in the environment, else of this machine.

    With a secret (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET` by default) it needs no package; managed
    and workload identities, and the command line's login, need `pip install 'signalbox-gateway[azure]'`.
    """

    tenant: Text | None = Field(default=None, description="Id or domain of the directory.")
    client_id: Text | None = Field(default=None, description="Id of the application, or of the managed identity.")
    client_secret: Hidden | None = Field(default=None, description="Secret of the application.")
    scope: Text = Field(
        default="https://cognitiveservices.azure.com/.default",
        description="What the token is for; other clouds differ.",
    )
    authority: Text | None = Field(
        default=None,
        description="Address of the login, for other clouds; by default `AZURE_AUTHORITY_HOST`, or Azure's.",
    )


LOGINS: Final = ("aws", "google", "azure_ad")


def _or_a_login(schema: dict[str, Any]) -> None:
    """What editors are told: the name of a login, or one key with its parameters."""
    fields = {key: schema.pop(key) for key in ("type", "properties", "additionalProperties") if key in schema}
    schema["anyOf"] = [{"enum": list(LOGINS)}, {**fields, "minProperties": 1, "maxProperties": 1}]


class LoginEntry(Entry):
    """How an account proves who it is where no key does: the name alone, or with parameters."""

    model_config = ConfigDict(json_schema_extra=_or_a_login)

    aws: AwsEntry | None = Field(default=None, description="Requests are signed, as Amazon Bedrock wants them.")
    google: GoogleEntry | None = Field(default=None, description="A token of Google Cloud, as Vertex AI wants it.")
    azure_ad: AzureAdEntry | None = Field(default=None, description="A token of Microsoft Entra ID, for Azure.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """``aws`` for ``{aws: {}}``, and ``{aws: }`` for the same."""
        if isinstance(data, str):
            if data not in LOGINS:
                raise PydanticCustomError("login", "expected aws, google or azure_ad")
            return {data: {}}
        if isinstance(data, dict):
            return {name: {} if fields is None else fields for name, fields in data.items()}
        return data

    @model_validator(mode="after")
    def _exactly_one(self) -> LoginEntry:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("one_login", "name exactly one login")
        return self


class ProviderEntry(Entry):
    """An account at a provider: where it is, who runs it, and what opens it."""

    kind: Text | None = Field(default=None, description="What it speaks; by default the name of this entry.")
    api_key: Annotated[tuple[Hidden, ...], BeforeValidator(_listed), _or_list({"type": "string"})] = Field(
        default=(),
        description="One key, or a list of keys that share the load; by default the provider's usual environment "
        "variable. Write it as `${NAME}` or `${file:/path}`.",
    )
    auth: LoginEntry | None = Field(
        default=None,
        description="A login in place of a key: `aws`, `google` or `azure_ad`, or one of them with parameters.",
    )
    base_url: Text | None = Field(
        default=None, description="Address that paths are added to; by default the provider's own."
    )
    endpoint: Text | None = Field(default=None, description="Another word for `base_url`, as Azure calls it.")
    region: Text | None = Field(
        default=None,
        description="Where data is processed; routes may require it. At AWS and Google Cloud also the place that is "
        "asked, by default `AWS_REGION` or `GOOGLE_CLOUD_LOCATION`.",
    )
    project: Text | None = Field(
        default=None, description="Project of Google Cloud that pays; by default `GOOGLE_CLOUD_PROJECT`."
    )
    company: Text | None = Field(
        default=None, description="Who operates the endpoint; by default the provider's company."
    )
    headers: dict[str, Text] = Field(default={}, description="Headers added to every request.")
    api_version: Text | None = Field(default=None, description="Version of the API, where the provider asks for one.")
    allow_private: Switch = Field(
        default=False, description="Whether the address may be a private one or this machine."
    )
    transport: Literal["http1", "httpx2", "simulated"] | None = Field(
        default=None, description="How it is reached: `http1` (the fast one), or `httpx2` for proxies and HTTP/2."
    )
    timeouts: TimeoutsEntry = Field(default=TimeoutsEntry(), description="How long each part of an attempt may take.")
    max_connections: Count = Field(default=1000, ge=1, description="Connections held open to it at most.")

    @model_validator(mode="before")
    @classmethod
    def _one_key_or_several(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("api_key"), str):
            return {**data, "api_key": [data["api_key"]]}
        return data


_Dollars = Annotated[Number | None, Field(ge=0, le=100_000)]


class FiguresEntry(Entry):
    """USD per million tokens. What is left out costs what the line says."""

    input: _Dollars = Field(default=None, description="For input tokens.")
    output: _Dollars = Field(default=None, description="For output tokens.")
    cached_input: _Dollars = Field(
        default=None, description="For input read from the provider's cache; by default as `input`."
    )
    cache_write: _Dollars = Field(
        default=None, description="For input written to the provider's cache; by default as `input`."
    )
    cache_write_1h: _Dollars = Field(
        default=None, description="For what stays there for an hour; by default as `cache_write`."
    )
    reasoning: _Dollars = Field(default=None, description="For output that is reasoning; by default as `output`.")
    audio_input: _Dollars = Field(default=None, description="For sound; by default as `input`.")
    audio_output: _Dollars = Field(default=None, description="For spoken output; by default as `output`.")
    cached_audio: _Dollars = Field(
        default=None, description="For sound read from the provider's cache; by default as `audio_input`."
    )
    image_output: _Dollars = Field(default=None, description="For pictures it draws; by default as `output`.")

    def given(self) -> dict[str, float]:
        """The figures that are given, by name."""
        named = {name: getattr(self, name) for name in FiguresEntry.model_fields}
        return {name: usd for name, usd in named.items() if usd is not None}


class TierEntry(FiguresEntry):
    """What all tokens of a request cost whose input is longer. What is left out stays as it is for shorter ones."""

    above: Count = Field(ge=0, description="Tokens of input, cached or not, that it has more of.")


class PriceEntry(FiguresEntry):
    """What a deployment charges, in USD per million tokens.

    With `input` and `output` it is the whole price. Without one of them it changes what the catalogue says of the
    model: only the figures given, in all tiers.
    """

    requests: Number | None = Field(
        default=None, ge=0, le=100_000, description="USD for a thousand requests, beside their tokens."
    )
    tiers: Annotated[tuple[TierEntry, ...], BeforeValidator(_listed)] | None = Field(
        default=None, description="Prices of requests with a longer input."
    )


class LimitsEntry(Entry):
    """What the provider allows this deployment."""

    rpm: Limit | None = Field(default=None, description="Requests a minute.")
    tpm: Limit | None = Field(default=None, description="Tokens a minute.")
    concurrency: Limit | None = Field(
        default=None,
        description="Requests at once, of all replicas together: each has its part, rounded up.",
    )


class DeploymentEntry(Entry):
    """A model at a provider. What it costs, holds and can do comes from the catalogue unless it is given."""

    provider: Text = Field(description="Name of an entry of `providers`.")
    model: Text = Field(description="The model's name at the provider.")
    price: PriceEntry | None = Field(default=None, description="USD per million tokens; by default from the catalogue.")
    context_window: Count | None = Field(
        default=None, ge=1, description="Tokens that fit; by default from the catalogue."
    )
    max_output: Count | None = Field(
        default=None, ge=1, description="Tokens that an answer may have at most; by default from the catalogue."
    )
    capabilities: Capabilities | None = Field(
        default=None,
        description="What it can do: a list rules out all that is not in it. By default from the catalogue, which "
        "rules out nothing for a model that it does not know.",
    )
    quality: Annotated[dict[str, Quality], _QUALITY_SCHEMA] = Field(
        default={},
        description="Expected quality 0 to 1, by intent; `default` for all others. A single number is `default`.",
    )
    prefill: Switch | None = Field(
        default=None,
        description="Whether it goes on from the beginning of an answer: then it can finish a stream that broke off. "
        "By default from the catalogue, which knows it of Claude and Nova at their makers' protocols.",
    )
    reasoning: Switch | None = Field(
        default=None,
        description="Whether it thinks before it answers, so that its first content takes long; by default from the "
        "catalogue, or as its name tells.",
    )
    thinking: Literal["none", "budget", "adaptive", "level"] | None = Field(
        default=None,
        description="How it is told how much to think: by a `budget` of tokens, by a `level`, `adaptive` to an effort, "
        "or `none` for a model that is not told, since it never or always does. By default from the catalogue.",
    )
    image_tokens: Count | None = Field(
        default=None,
        ge=1,
        description="The most tokens that it counts a picture as, for what is reserved of budgets. By default from the "
        "catalogue, and the most of any model for one that it does not know.",
    )
    weight: Number = Field(default=1.0, ge=0, description="Share of the traffic under the `weighted` strategy.")
    limits: LimitsEntry = Field(default=LimitsEntry(), description="What the provider allows.")

    @model_validator(mode="before")
    @classmethod
    def _one_quality_for_all(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("quality"), float | int):
            return {**data, "quality": {"default": data["quality"]}}
        return data


class TokensEntry(Entry):
    """A range of estimated input tokens, both ends included."""

    min: Count | None = Field(default=None, description="At least so many.")
    max: Count | None = Field(default=None, description="At most so many.")


class WhenEntry(Entry):
    """When a route applies. Every condition that is given must hold."""

    intent: OneOrMore | None = Field(default=None, description="One of these intents was recognised.")
    needs: Annotated[
        Capabilities,
        BeforeValidator(lambda v: [v] if isinstance(v, str) else v),
        _or_list({"enum": list(get_args(Capability))}),
    ] = Field(default=(), description="The request needs all of these.")
    tags: dict[Text, OneOrMore] = Field(default={}, description="Each tag has this value, or one of these.")
    model: OneOrMore | None = Field(default=None, description="The client named one of these models.")
    key: OneOrMore | None = Field(default=None, description="One of these virtual keys asks.")
    input_tokens: TokensEntry = Field(
        default=TokensEntry(), description="How long the request is, in estimated tokens."
    )


class RequireEntry(Entry):
    """What every deployment of the policy must have, whoever asks."""

    region: OneOrMore | None = Field(default=None, description="In one of these regions.")
    company: OneOrMore | None = Field(default=None, description="Operated by one of these companies.")


class RetryEntry(Entry):
    """How hard to try."""

    attempts: Count = Field(default=4, ge=1, le=20, description="Tries of one request, over all deployments.")
    same_target: Count = Field(default=1, le=10, description="Extra tries at the same deployment.")
    base: Duration = Field(
        default=0.25, description="First wait before the same deployment is tried again; it doubles."
    )
    base_rate_limited: Duration = Field(default=1.0, description="The same after a rate limit.")
    cap: Duration = Field(default=4.0, description="The longest wait.")
    retry_after_max: Duration = Field(default=3.0, description="The longest wait that a provider may ask for.")


def _or_its_name(schema: dict[str, Any]) -> None:
    """What editors are told: a strategy's name, or one key with its parameters."""
    fields = {key: schema.pop(key) for key in ("type", "properties", "additionalProperties") if key in schema}
    schema["anyOf"] = [{"enum": list(STRATEGIES)}, {**fields, "minProperties": 1, "maxProperties": 1}]


class StrategyChoice(Entry):
    """How the deployments of the pool are put in order: the name alone, or with parameters."""

    model_config = ConfigDict(json_schema_extra=_or_its_name)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """``ordered`` for ``{ordered: {}}``, and ``{ordered: }`` for the same."""
        if isinstance(data, str):
            return {data: {}}
        if isinstance(data, dict):
            return {name: {} if fields is None else fields for name, fields in data.items()}
        return data

    @model_validator(mode="after")
    def _exactly_one(self) -> StrategyChoice:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("one_strategy", "name exactly one strategy")
        return self

    def chosen(self) -> Strategy:
        """The strategy that is named."""
        strategy: Strategy = getattr(self, next(iter(self.model_fields_set)))
        return strategy


def _about(strategy: type[BaseModel]) -> str:
    return (strategy.__doc__ or "").split("\n")[0]


if TYPE_CHECKING:
    StrategyEntry = StrategyChoice
else:
    #: One field for each registered strategy, whose own fields are its keys.
    StrategyEntry = create_model(
        "StrategyEntry",
        __base__=StrategyChoice,
        __doc__=StrategyChoice.__doc__,
        **{
            name: (strategy | None, Field(default=None, description=_about(strategy)))
            for name, strategy in STRATEGIES.items()
        },
    )


_ORDERED: Final = Ordered()


class HedgeEntry(Entry):
    """A second try beside a slow first one; the first content wins. It costs money: off unless it is asked for."""

    after: Duration | None = Field(
        default=None, gt=0, description="How long to wait for content first; by default the usual 95th percentile."
    )
    extra: Number = Field(default=0.02, gt=0, le=1, description="The share of requests that is hedged at most.")


class DegradeEntry(Entry):
    """The last good answer to the very same request of the same caller, flagged, when nothing else can serve."""

    max_age: Duration = Field(default=3600.0, gt=0, description="How old it may be.")


class ShiftEntry(Entry):
    """As a budget runs out, requests go to cheaper deployments: a growing part of them, all when nothing is left."""

    since: Annotated[Number, Field(gt=0, lt=1, alias="from")] = Field(
        default=0.8, alias="from", description="The share of the budget from which on it begins."
    )
    to: Names = Field(default=(), description="Where they go, the cheapest first; by default the pool.")


class PolicyEntry(Entry):
    """Which deployments may serve, in what order, and how hard to try."""

    pool: Names | None = Field(default=None, description="Deployments to choose from; by default all of them.")
    fallback: Names = Field(default=(), description="Deployments tried, in this order, when the pool has failed.")
    strategy: StrategyEntry | None = Field(
        default=None, description="How the pool is put in order; by default as listed."
    )
    require: RequireEntry = Field(default=RequireEntry(), description="What every deployment must have.")
    retry: RetryEntry = Field(default=RetryEntry(), description="Bounds on trying again.")
    timeout: Duration = Field(default=600.0, gt=0, description="The one deadline of all tries of a request.")
    rescue: Rescue = Field(
        default="continue",
        description="What is done about a stream that breaks off: `continue` lets a deployment with `prefill` go on; "
        "`splice` lets any other answer anew too, where that begins with the very same text; `off` tells the client.",
    )
    degrade: DegradeEntry | None = Field(
        default=None, description="An earlier answer to the same request, for when nothing can serve."
    )
    hedge: HedgeEntry | None = Field(default=None, description="A second try beside a slow first one.")
    budget_shift: ShiftEntry | None = Field(
        default=None, description="Cheaper deployments for a growing part of the traffic as a budget runs out."
    )
    lower_max_tokens: Switch = Field(
        default=False,
        description="Whether a request that a budget does not hold is given a shorter answer, and a warning, "
        "instead of none.",
    )
    reference: Name | None = Field(
        default=None,
        description="The deployment that savings are reckoned against: what all would go to without a gateway. By "
        "default the one of the pool with the highest quality, of several the dearest.",
    )

    def chosen(self) -> Strategy:
        """The strategy that was named, or the pool in the order listed."""
        return self.strategy.chosen() if self.strategy is not None else _ORDERED


class RouteEntry(Entry):
    """A name that clients may ask for, the requests it takes, and the policy it applies."""

    name: Name = Field(description="What clients may write as `model`, and what logs and metrics say.")
    when: Annotated[WhenEntry, BeforeValidator(_mapped)] = Field(
        default=WhenEntry(), description="The requests it takes; by default all."
    )
    policy: Annotated[PolicyEntry, BeforeValidator(_mapped)] = Field(
        default=PolicyEntry(), description="What is done with them."
    )


Usd = Annotated[Number, Field(ge=0, le=1_000_000_000)]


class BudgetEntry(Entry):
    """What may be spent in a period: nothing is begun that might cost more than is left."""

    usd: Usd = Field(description="US dollars.")
    per: Period = Field(default="month", description="When it begins anew, in UTC: a week on Monday, `total` never.")
    alert_at: Annotated[tuple[Annotated[Number, Field(gt=0, le=1)], ...], BeforeValidator(_listed)] = Field(
        default=(0.8, 1.0), description="Shares of it that the webhook is told of, once each."
    )


class ScopeLimitsEntry(Entry):
    """How much may be asked."""

    rpm: Limit | None = Field(default=None, description="Requests a minute.")
    tpm: Limit | None = Field(default=None, description="Tokens a minute, in and out.")
    concurrency: Limit | None = Field(default=None, description="Requests at once.")


class ScopeEntry(Entry):
    """A budget and limits of one's own."""

    budget: BudgetEntry | None = Field(default=None, description="What may be spent.")
    limits: ScopeLimitsEntry | None = Field(default=None, description="How much may be asked.")


class OrganisationEntry(ScopeEntry):
    """Teams that are reckoned with together."""


class TeamEntry(ScopeEntry):
    """Keys that are reckoned with together."""

    organisation: Name | None = Field(default=None, description="The organisation that it belongs to.")
    each_user: ScopeEntry | None = Field(
        default=None, description="What each of its end users has, as clients name them in `user`."
    )
    tags: dict[Text, Text] = Field(default={}, description="Tags put on each of its requests.")


class CallerEntry(ScopeEntry):
    """What somebody may do, and what is put on the requests."""

    routes: Names | None = Field(default=None, description="Routes that may be used; by default all.")
    models: Names | None = Field(default=None, description="Deployments that may be used; by default all.")
    tags: dict[Text, Text] = Field(default={}, description="Tags put on each request.")
    operations: Annotated[tuple[Operation, ...], BeforeValidator(_listed)] | None = Field(
        default=None, description="What it may be used for; by default everything."
    )
    priority: Literal["interactive", "batch"] | None = Field(
        default=None, description="How urgent its requests are, whatever they say; by default as they say."
    )
    networks: NetworkList | None = Field(
        default=None, description="Networks it may be used from, as 10.0.0.0/8; by default any."
    )
    each_user: ScopeEntry | None = Field(
        default=None, description="What each of its end users has, as clients name them in `user`."
    )


class TermsEntry(CallerEntry):
    """What holds for a virtual key, whoever made it: in the configuration, or at run time."""

    id: Name = Field(description="Its name in logs and metrics, and in the key itself.")
    enabled: Switch = Field(default=True, description="`off` turns it away at once.")
    team: Name | None = Field(default=None, description="The team that it belongs to.")
    expires: Moment | None = Field(default=None, description="When it ends, as 2027-01-31 or 2027-01-31T12:00:00Z.")


#: Signatures that only the issuer can make. With a shared secret (HS256 and its like) we could make tokens ourselves,
#: and whoever knows a public key could if it were taken for one.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class IssuerEntry(CallerEntry):
    """Whose tokens (JWT, as of OIDC) are taken like keys, and what their claims mean.

    A claim inside another is written with dots, as `realm_access.roles`; a name with a `/` in it is one claim. It needs
    `pip install 'signalbox-gateway[jwt]'`.
    """

    name: Name = Field(description="Its name in logs, metrics and records: callers are `jwt:<name>:<hash of sub>`.")
    issuer: Text = Field(description="What `iss` says, to the letter.")
    audience: OneOrMore = Field(description="What `aud` has to hold: one of these.")
    jwks: Text | None = Field(
        default=None,
        description="Where its public keys are: an https address, or the path of a file; by default the address that "
        "`<issuer>/.well-known/openid-configuration` names.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], BeforeValidator(_listed), Field(min_length=1)] = Field(
        default=("RS256", "ES256"), description="Signatures that are taken."
    )
    team: Text | None = Field(
        default=None, description="The claim that names the team; of a list the first that is one counts."
    )
    teams: dict[Text, Name] = Field(
        default={}, description="Which value of it is which team; by default the one of that name."
    )
    default_team: Name | None = Field(
        default=None, description="The team of everybody else; by default they are turned away."
    )
    user: Text | None = Field(
        default=None,
        description="The claim that names the end user in records and budgets, as `sub` or `email`; by default a hash "
        "of `sub`.",
    )
    claim_tags: dict[Text, Text] = Field(
        default={}, description="Tags put on each request, each with the claim whose value it has."
    )
    require: dict[Text, OneOrMore] = Field(
        default={}, description="Claims that a token must have, each with one of these values; `'*'` is any."
    )
    leeway: Duration = Field(default=30.0, le=300, description="How far clocks may differ.")
    max_age: Duration | None = Field(default=None, gt=0, description="How long ago a token may be issued at most.")
    allow_private: Switch = Field(
        default=False, description="Whether its addresses may be private ones or this machine, and plain http."
    )


class KeyEntry(TermsEntry):
    """A virtual key that clients present. Only its hash is kept."""

    secret_hash: Annotated[
        tuple[Sha256, ...],
        BeforeValidator(_listed),
        BeforeValidator(lambda v: [v] if isinstance(v, str) else v),
        Field(min_length=1, max_length=2),
        _or_list({"type": "string", "pattern": r"^([0-9a-fA-F]{64}|\$\{.*\})$"}),
    ] = Field(
        description="HMAC-SHA256 of the whole key under `pepper`, in hexadecimal, as `signalbox keys new` prints it; "
        "two while it is being changed."
    )


class AlertsEntry(Entry):
    """Who is told when a share of a budget has been spent (`alert_at`): once for each, by one replica."""

    webhook: Hidden = Field(description="URL that a JSON document is posted to; Slack and its like show its `text`.")
    secret: Hidden | None = Field(
        default=None, description="Signs it: `x-signalbox-signature: sha256=<HMAC of the body, in hexadecimal>`."
    )


class BudgetsEntry(Entry):
    """What holds for all budgets."""

    on_state_loss: Literal["grace", "closed"] = Field(
        default="grace",
        description="While the shared state is gone, or has lost its data: `grace` lets each replica spend a little "
        "more of each budget than it holds a lease of, `closed` nothing.",
    )
    grace_usd: Usd = Field(default=1.0, description="How much that is, for each budget, period and replica.")
    unknown_price: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="Whether callers with a budget may use deployments whose price is not known, which cost them "
        "nothing.",
    )
    ledger: Text | None = Field(
        default=None,
        description="File of what this replica reserves and settles: what is in it survives a crash. Without `state` "
        "it is `signalbox.ledger` unless another is named.",
    )
    alerts: AlertsEntry | None = Field(
        default=None,
        description="Who is told that a budget is running out; with an empty `webhook`, as `${ALERTS_URL:-}`, nobody.",
    )

    @model_validator(mode="before")
    @classmethod
    def _nobody_when_empty(cls, data: Any) -> Any:
        """So that one file serves those who want to be told and those who do not. An empty secret signs nothing."""
        alerts = data.get("alerts") if isinstance(data, dict) else None
        if not isinstance(alerts, dict) or "" not in (alerts.get("webhook"), alerts.get("secret")):
            return data
        said = {name: value for name, value in alerts.items() if value != ""}
        return {**data, "alerts": said if alerts.get("webhook") != "" else None}


class IntentEntry(Entry):
    """An intent of your own, recognised in the last user turn."""

    keywords: Names = Field(default=(), description="Any of these words or phrases, in any case.")
    patterns: Names = Field(default=(), description="Any of these regular expressions (RE2).")


class ServerEntry(Entry):
    """Where the gateway listens, and what it takes from clients. Read once, at start."""

    host: Text = Field(default="127.0.0.1", description="Address that clients connect to.")
    port: Port = Field(default=8080, description="Its port; 0 takes a free one.")
    admin_host: Text = Field(default="127.0.0.1", description="Address of metrics, health and administration.")
    admin_port: Port = Field(default=9464, description="Its port; 0 takes a free one.")
    admin_token: Hidden | None = Field(default=None, description="Bearer token that administration asks for.")
    max_body: Size = Field(default=10 * 1024 * 1024, ge=1024, description="The largest request body taken.")
    header_timeout: Duration = Field(default=10.0, gt=0, description="Until a client has sent its head.")
    body_timeout: Duration = Field(
        default=30.0, gt=0, description="For a client's whole body, and a second more for each KiB that has come."
    )
    drain_delay: Duration = Field(
        default=10.0,
        description="How long new requests are still taken after SIGTERM, while `/readyz` says 503: the time that load"
        " balancers need to notice.",
    )
    drain: Duration = Field(default=600.0, description="How long running requests may finish after that.")
    trusted_proxies: NetworkList = Field(
        default=(),
        description="Networks of load balancers in front: what they add to `X-Forwarded-For` counts as the client's "
        "address. Without it that is whoever connects.",
    )


class BreakerEntry(Entry):
    """When a model at an account is left alone: the same for all of them."""

    min_failures: Count = Field(default=3, ge=1, description="Failures that open it at least.")
    ratio: Number = Field(default=0.5, gt=0, le=1, description="Their share of all calls that opens it at least.")
    window: Duration = Field(default=30.0, gt=0, description="The time over which both are counted.")
    open: Duration = Field(default=30.0, gt=0, description="How long it stays open before it is probed.")
    idle_probe: Duration = Field(
        default=5.0, description="How long a probe waits for a request before the models are listed instead."
    )


class ReliabilityEntry(Entry):
    """What is done about providers that fail, whatever the route."""

    breaker: BreakerEntry = Field(default=BreakerEntry(), description="When a deployment is left alone.")
    keep_alive: Duration = Field(
        default=15.0, gt=0, description="How long a stream is silent before a comment keeps its connection open."
    )


class UpstreamEntry(Entry):
    """How providers are asked."""

    stream: Literal["auto", "as_client"] = Field(
        default="auto",
        description="`auto`: for a stream also on behalf of clients that want a whole answer, wherever that loses "
        "nothing, so that silent providers are noticed; `as_client`: as the client did.",
    )


class FetchEntry(Entry):
    """Files that clients name by their address. Providers fetch them themselves, but some take only the bytes."""

    allow: Switch = Field(
        default=False,
        description="Whether the gateway fetches files for providers that take only the bytes. `off`: a client has to "
        "send such a provider a data URL.",
    )
    max_bytes: Size = Field(
        default=10 * 1024 * 1024, ge=1, description="What all files of one request may take together."
    )
    timeout: Duration = Field(default=5.0, gt=0, description="For all files of one request together.")
    hosts: Names = Field(
        default=(),
        description="The only hosts that are asked; `*.example.com` is all below it. By default any public one.",
    )
    allow_private: Switch = Field(
        default=False,
        description="Whether private networks, plain http and ports of one's own are allowed too. Whoever may send a "
        "request can then read what this machine can reach.",
    )


class AdmissionEntry(Entry):
    """How many requests are served at once, and how the others wait."""

    max_inflight: Count = Field(default=1000, ge=1, description="Requests served at once.")
    queue: Count = Field(default=100, description="Requests that wait for a place; urgent ones first.")
    queue_wait: Duration = Field(default=1.0, description="How long one waits before it is turned away.")
    loop_lag: Duration = Field(
        default=0.25, gt=0, description="How late the event loop may be before requests are turned away at once."
    )


class JournalEntry(Entry):
    """Where decision records are written on this machine."""

    path: Text | None = Field(
        default=None, description="File that records are appended to; by default none is written."
    )
    max_size: Size = Field(default=256 * 1024 * 1024, ge=4096, description="Size at which the file is rotated.")


class Config(Entry):
    """A whole configuration file."""

    discover: Switch = Field(
        default=False,
        description="Whether provider keys in the environment and local servers become deployments by themselves.",
    )
    providers: dict[Name, Annotated[ProviderEntry, BeforeValidator(_mapped)]] = Field(
        default={}, description="Accounts at providers, by a name of your choice."
    )
    deployments: dict[Name, DeploymentEntry] = Field(
        default={}, description="Models at providers, by a name of your choice."
    )
    routes: Annotated[tuple[RouteEntry, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Which request goes where; the first that applies. By default one that takes all."
    )
    aliases: dict[Name, Text] = Field(
        default={}, description="Other names for deployments, routes or `auto`, as what clients already send."
    )
    keys: Annotated[tuple[KeyEntry, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Virtual keys that clients present; more can be made at run time."
    )
    pepper: Hidden | None = Field(
        default=None,
        description="A secret that all keys are hashed with, as `${KEY_PEPPER}`, so that their hashes are of no use to "
        "others. With another one no key is valid any more.",
    )
    organisations: dict[Name, Annotated[OrganisationEntry, BeforeValidator(_mapped)]] = Field(
        default={}, description="Teams that are reckoned with together."
    )
    teams: dict[Name, Annotated[TeamEntry, BeforeValidator(_mapped)]] = Field(
        default={}, description="Keys that are reckoned with together."
    )
    budgets: Annotated[BudgetsEntry, BeforeValidator(_mapped)] = Field(
        default=BudgetsEntry(), description="What all budgets have in common."
    )
    identity: Annotated[tuple[IssuerEntry, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Whose tokens clients may present in place of a key."
    )
    auth: Switch | None = Field(
        default=None,
        description="Whether clients must present a key or token; by default when there are any `keys` or `identity`.",
    )
    intents: dict[Name, Annotated[IntentEntry, BeforeValidator(_mapped)]] = Field(
        default={}, description="Intents of your own, beside the built-in ones."
    )
    server: Annotated[ServerEntry, BeforeValidator(_mapped)] = Field(
        default=ServerEntry(), description="Where it listens."
    )
    reliability: Annotated[ReliabilityEntry, BeforeValidator(_mapped)] = Field(
        default=ReliabilityEntry(), description="What is done about providers that fail."
    )
    upstream: Annotated[UpstreamEntry, BeforeValidator(_mapped)] = Field(
        default=UpstreamEntry(), description="In which way providers are asked."
    )
    fetch: Annotated[FetchEntry, BeforeValidator(_mapped)] = Field(
        default=FetchEntry(), description="Whether the gateway fetches what clients name by its address."
    )
    admission: Annotated[AdmissionEntry, BeforeValidator(_mapped)] = Field(
        default=AdmissionEntry(), description="How many requests are served at once."
    )
    journal: Annotated[JournalEntry, BeforeValidator(_mapped)] = Field(
        default=JournalEntry(), description="Where decision records are written."
    )
    state: Hidden | None = Field(
        default=None,
        description="Redis that replicas share, as `redis://host:6379/0`, or behind Sentinels as "
        "`redis+sentinel://host1:26379,host2:26379/mymaster/0`; leave out on one machine.",
    )

    @model_validator(mode="before")
    @classmethod
    def _none_when_empty(cls, data: Any) -> Any:
        """``state: ${REDIS_URL:-}`` is no state, so that one file serves one machine and many; so is a pepper none."""
        empty = [name for name in ("state", "pepper") if isinstance(data, dict) and data.get(name) == ""]
        return {**data, **dict.fromkeys(empty)} if empty else data
