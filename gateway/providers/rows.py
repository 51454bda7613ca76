"""The providers: one row each, with only what differs from others that speak the same protocol.

Read next: registry.py, which gives each row its protocol. To add a provider, add a row; its name stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.providers import repairs as fix
from gateway.providers.adjust import Adjust, as_its_version_allows, as_reasoners_take_it, without_penalties
from gateway.providers.mistral import as_mistral_says_it
from gateway.providers.repairs import ANSWER, CHUNK, Repairs

__all__ = ["ROWS", "Row"]


class Row(Struct, frozen=True, kw_only=True, eq=False):
    """A provider. ``base_url`` is its public address, None where every account has one of its own.

    It may hold ``{region}`` and ``{project}``, which are the account's.
    ``env`` names the variables that its key is usually kept in, the first that is set counts; ``key_required`` says
    that nothing works without.
    ``login``: how an account without a key logs in, where that is not written.
    ``cannot`` names the needs of requests (intent/features.py) that its protocol has no words for.
    ``inlines``: it takes files as bytes, and has no words for an address of one.
    ``path`` follows the base address; ``per_deployment`` is the path before it where the model stands in the address.
    ``include_usage``: it knows ``stream_options``, and reports usage in a stream only when asked to.
    ``rename`` and ``drop`` are members of requests that it calls otherwise, or refuses; ``keeps`` are those beyond
    OpenAI's own that it understands, in requests, messages, parts and tools (see fitting.py). ``developer``: it knows
    that role. ``media_in_results``: it takes more than text in the result of a tool. ``thinking_due``: it wants the
    thinking of every turn that called tools. ``effort`` is how it is told how hard to think, ``efforts`` the words that
    it knows, all of them when there are none here (see efforts.py). ``adjust`` is whatever else it wants otherwise.
    ``repairs`` and ``chunk_repairs`` are what its answers and chunks are known to need: a valid one is not touched,
    and one that these do not make valid gets all there are.
    ``aggregates``: its streams say all that its whole answers do, so that one can be made of the other. True only
    where recordings of both show it; docs/recordings.md has the evidence, and why it is False elsewhere.
    ``prefill_message`` and ``prefill_body`` mark the beginning of an answer that is to be gone on with.
    ``finish_by_done``: its streams name no finish reason, and ``[DONE]`` alone ends them.
    """

    kind: str
    base_url: str | None = None
    company: str | None = None
    env: tuple[str, ...] = ()
    key_required: bool = True
    login: Literal["aws", "google"] | None = None
    protocol: Literal["openai", "anthropic", "google", "bedrock"] = "openai"
    cannot: frozenset[str] = frozenset()
    inlines: bool = False
    auth: Literal["bearer", "api-key", "x-goog-api-key"] = "bearer"
    path: str = "/chat/completions"
    per_deployment: str | None = None
    include_usage: bool = True
    rename: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    keeps: frozenset[str] = frozenset()
    developer: bool = False
    media_in_results: bool = False
    thinking_due: bool = False
    effort: Literal["effort", "level_or_default", "reasoning", "toggle", "toggle_and_effort", "enable_thinking"] = (
        "effort"
    )
    efforts: tuple[str, ...] = ()
    adjust: tuple[Adjust, ...] = ()
    repairs: Repairs = ANSWER
    chunk_repairs: Repairs = CHUNK
    aggregates: bool = False
    prefill_message: tuple[tuple[str, bool], ...] = ()
    prefill_body: tuple[tuple[str, bool], ...] = ()
    finish_by_done: bool = False
    simulated: bool = False


#: What nearly every whole answer lacks that a strict client looks for: ``refusal`` and ``logprobs``, null.
NULLS: Final = Repairs(
    "message",
    body=(fix.usage_absent, fix.usage_counted),
    choice=(fix.logprobs_named,),
    part=(fix.nulls_absent, fix.message_members),
)
#: A chunk in which only ``finish_reason`` is left out until the last.
UNFINISHED: Final = Repairs("delta", choice=(fix.finish_present,))
#: Chunks that are as they should be.
NONE: Final = Repairs("delta")

#: What generateContent has no words for, or has them for some models only.
NOT_GOOGLES: Final = frozenset(
    {
        "choices",
        "logprobs",
        "audio_output",
        "video",
        "file_ids",
        "custom_tools",
        "server_tools:openai",
        "server_tools:anthropic",
    }
)


def _words(said: str) -> frozenset[str]:
    return frozenset(said.split())


#: What only its maker's protocol can say, so that no provider but OpenAI takes it in OpenAI's.
OTHERS: Final = _words("custom_tools server_tools:anthropic server_tools:google file_ids")
#: The same of those who serve open models: nothing is run for the client, and text is all that comes out.
SERVED: Final = OTHERS | _words("server_tools:openai web_search audio_output")
LEVELS: Final = ("low", "medium", "high")
#: Nothing is known of what an unknown server refuses: what the client sent is its own affair, what we added is not.
SENT: Final = _words(
    """
    extra_content reasoning_content reasoning reasoning_details thinking_blocks annotations images cache_control
    is_error thinking top_k
    """
)

OLDER_NAMES: Final = (("max_completion_tokens", "max_tokens"),)

OPENAI: Final = (
    Row(
        kind="openai",
        cannot=_words("server_tools:openai server_tools:anthropic server_tools:google video"),
        keeps=_words("annotations"),
        developer=True,
        adjust=(as_reasoners_take_it,),
        base_url="https://api.openai.com/v1",
        company="openai",
        env=("OPENAI_API_KEY",),
        repairs=NULLS,
        chunk_repairs=Repairs("delta", body=(fix.chunk_object,)),
        aggregates=True,
    ),
    Row(
        kind="azure_openai",
        cannot=_words("server_tools:openai server_tools:anthropic server_tools:google web_search video"),
        developer=True,
        adjust=(as_reasoners_take_it, as_its_version_allows),
        company="microsoft",
        env=("AZURE_OPENAI_API_KEY",),
        auth="api-key",
        per_deployment="/openai/deployments/{model}",
        repairs=ANSWER,
        chunk_repairs=Repairs("delta", body=(fix.chunk_object, fix.created_whole), choice=(fix.finish_present,)),
    ),
)

#: What has no words among Anthropic's Messages.
NOT_OF_ANTHROPIC: Final = frozenset(
    {
        "choices",
        "logprobs",
        "audio",
        "audio_output",
        "video",
        "custom_tools",
        "server_tools:openai",
        "server_tools:google",
    }
)

ANTHROPIC: Final = (
    Row(
        kind="anthropic",
        base_url="https://api.anthropic.com/v1",
        company="anthropic",
        env=("ANTHROPIC_API_KEY",),
        protocol="anthropic",
        path="/messages",
        cannot=NOT_OF_ANTHROPIC,
        aggregates=True,
    ),
    Row(
        kind="azure_anthropic",
        company="microsoft",
        env=("ANTHROPIC_FOUNDRY_API_KEY",),
        protocol="anthropic",
        path="/messages",
        cannot=NOT_OF_ANTHROPIC,
        aggregates=True,
    ),
)

CLOUD: Final = (
    Row(
        kind="groq",
        cannot=OTHERS | _words("choices logprobs documents audio audio_output video web_search"),
        drop=("logit_bias",),
        keeps=_words("reasoning"),
        effort="level_or_default",
        efforts=LEVELS,
        base_url="https://api.groq.com/openai/v1",
        company="groq",
        env=("GROQ_API_KEY",),
        repairs=Repairs(
            "message",
            body=(fix.tier_known, *NULLS.body),
            choice=NULLS.choice,
            part=(*NULLS.part, fix.reasoning_spelled),
        ),
        chunk_repairs=Repairs("delta", body=(fix.tier_known,), part=(fix.reasoning_spelled,)),
    ),
    Row(
        kind="deepseek",
        cannot=SERVED | _words("choices documents audio video"),
        keeps=_words("reasoning_content"),
        thinking_due=True,
        effort="toggle_and_effort",
        prefill_message=(("prefix", True),),
        base_url="https://api.deepseek.com",
        company="deepseek",
        env=("DEEPSEEK_API_KEY",),
        rename=OLDER_NAMES,
        repairs=NULLS,
        chunk_repairs=NONE,
        aggregates=True,
    ),
    Row(
        kind="xai",
        cannot=OTHERS | _words("audio audio_output video"),
        keeps=_words("reasoning_content"),
        efforts=("none", *LEVELS),
        adjust=(without_penalties,),
        base_url="https://api.x.ai/v1",
        company="xai",
        env=("XAI_API_KEY",),
        repairs=NULLS,
        chunk_repairs=UNFINISHED,
        aggregates=True,
    ),
    Row(
        kind="openrouter",
        cannot=OTHERS,
        keeps=_words("cache_control reasoning reasoning_details images annotations top_k"),
        developer=True,
        media_in_results=True,
        effort="reasoning",
        base_url="https://openrouter.ai/api/v1",
        company="openrouter",
        env=("OPENROUTER_API_KEY",),
    ),
    Row(
        kind="mistral",
        cannot=SERVED - {"file_ids"} | _words("video"),
        keeps=_words("reasoning_content reasoning top_k index"),
        media_in_results=True,
        efforts=("none", "high"),
        adjust=(as_mistral_says_it,),
        prefill_message=(("prefix", True),),
        base_url="https://api.mistral.ai/v1",
        company="mistral",
        env=("MISTRAL_API_KEY",),
        include_usage=False,
        rename=(*OLDER_NAMES, ("seed", "random_seed")),
        drop=tuple(
            """
            user store service_tier logit_bias verbosity safety_identifier prompt_cache_retention prompt_cache_options
            modalities audio moderation
            """.split()
        ),
        repairs=Repairs(
            "message",
            body=NULLS.body,
            choice=(fix.finish_known, fix.logprobs_named),
            part=(*NULLS.part, fix.content_text, fix.tool_typed, fix.tool_arguments, fix.tool_arguments_present),
        ),
        chunk_repairs=Repairs(
            "delta",
            choice=(fix.finish_known,),
            part=(fix.nulls_absent, fix.content_text, fix.tool_typed, fix.tool_arguments),
        ),
    ),
    Row(
        kind="together",
        cannot=SERVED,
        keeps=_words("reasoning_content reasoning top_k"),
        base_url="https://api.together.xyz/v1",
        company="together",
        env=("TOGETHER_API_KEY",),
        rename=OLDER_NAMES,
    ),
    Row(
        kind="fireworks",
        cannot=SERVED,
        keeps=_words("reasoning_content top_k"),
        base_url="https://api.fireworks.ai/inference/v1",
        company="fireworks",
        env=("FIREWORKS_API_KEY",),
    ),
    Row(
        kind="perplexity",
        cannot=OTHERS | _words("server_tools:openai choices logprobs audio audio_output video"),
        base_url="https://api.perplexity.ai",
        company="perplexity",
        env=("PERPLEXITY_API_KEY",),
        rename=OLDER_NAMES,
        include_usage=False,
        repairs=NULLS,
        chunk_repairs=Repairs("delta", body=(fix.chunk_object,), choice=(fix.finish_present,)),
    ),
    Row(
        kind="cerebras",
        cannot=SERVED | _words("choices documents audio video"),
        keeps=_words("reasoning"),
        efforts=("none", *LEVELS),
        base_url="https://api.cerebras.ai/v1",
        company="cerebras",
        env=("CEREBRAS_API_KEY",),
    ),
    Row(
        kind="moonshot",
        cannot=OTHERS | _words("logprobs documents audio audio_output web_search"),
        keeps=_words("reasoning_content"),
        thinking_due=True,
        effort="toggle",
        prefill_message=(("partial", True),),
        base_url="https://api.moonshot.ai/v1",
        company="moonshot",
        env=("MOONSHOT_API_KEY",),
        rename=OLDER_NAMES,
        repairs=NULLS,
        chunk_repairs=Repairs("delta", body=(fix.chunk_object,), choice=(fix.finish_present,)),
    ),
    Row(
        kind="zai",
        cannot=OTHERS | _words("choices logprobs audio audio_output"),
        keeps=_words("reasoning_content"),
        effort="toggle_and_effort",
        base_url="https://api.z.ai/api/paas/v4",
        company="zai",
        env=("ZAI_API_KEY",),
        rename=OLDER_NAMES,
        repairs=Repairs("message", NULLS.body, (fix.finish_known, fix.logprobs_named), NULLS.part),
        chunk_repairs=Repairs("delta", choice=(fix.finish_present, fix.finish_known)),
    ),
    Row(
        kind="huggingface",
        cannot=SERVED,
        base_url="https://router.huggingface.co/v1",
        company="huggingface",
        env=("HF_TOKEN",),
        rename=OLDER_NAMES,
    ),
    Row(
        kind="vercel",
        cannot=OTHERS,
        keeps=_words("cache_control reasoning reasoning_details"),
        developer=True,
        effort="reasoning",
        base_url="https://ai-gateway.vercel.sh/v1",
        company="vercel",
        env=("AI_GATEWAY_API_KEY",),
    ),
    Row(
        kind="alibaba",
        cannot=OTHERS | _words("documents"),
        keeps=_words("reasoning_content cache_control top_k"),
        effort="enable_thinking",
        prefill_message=(("partial", True),),
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        company="alibaba",
        env=("DASHSCOPE_API_KEY",),
        rename=OLDER_NAMES,
    ),
    Row(
        kind="crusoe",
        cannot=SERVED,
        keeps=_words("reasoning_content reasoning top_k"),
        base_url="https://api.inference.crusoecloud.com/v1",
        company="crusoe",
        env=("CRUSOE_API_KEY",),
    ),
    Row(
        kind="snowflake",
        cannot=SERVED,
        company="snowflake",
        env=("SNOWFLAKE_PAT",),
        repairs=replace(ANSWER, choice=(*ANSWER.choice, fix.finish_by_content)),
        finish_by_done=True,
    ),
    Row(
        kind="writer",
        cannot=SERVED,
        base_url="https://api.writer.com/v1",
        company="writer",
        env=("WRITER_API_KEY",),
        path="/chat",
        rename=OLDER_NAMES,
    ),
)

#: generateContent. Its streams have all that its whole answers have: the same parts, signatures, sources and counts.
GOOGLE: Final = (
    Row(
        kind="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        company="google",
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        protocol="google",
        auth="x-goog-api-key",
        path="/models/{model}",
        cannot=NOT_GOOGLES,
        aggregates=True,
    ),
    Row(
        kind="vertex",
        base_url="https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}",
        company="google",
        key_required=False,
        protocol="google",
        path="/publishers/google/models/{model}",
        cannot=NOT_GOOGLES,
        aggregates=True,
        login="google",
    ),
)

#: What has no words in Converse.
NOT_OF_BEDROCK: Final = frozenset(
    """
    choices logprobs audio audio_output video file_ids file_urls custom_tools web_search
    server_tools:anthropic server_tools:openai server_tools:google
    """.split()
)

BEDROCK: Final = (
    Row(
        kind="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        company="amazon",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        # Without a key of Bedrock's own, requests are signed with what opens the account at AWS.
        key_required=False,
        login="aws",
        protocol="bedrock",
        cannot=NOT_OF_BEDROCK,
        inlines=True,
        # Not every model that answers also streams, or streams calls of tools: what was asked for whole stays so.
        aggregates=False,
    ),
)

#: Servers that people run themselves: no company, no key unless they set one, and every repair.
LOCAL: Final = (
    Row(
        kind="vllm",
        cannot=SERVED,
        keeps=_words("reasoning_content reasoning top_k"),
        efforts=LEVELS,
        env=("VLLM_API_KEY",),
        key_required=False,
        prefill_body=(("add_generation_prompt", False), ("continue_final_message", True)),
    ),
    Row(
        kind="ollama",
        cannot=SERVED | _words("choices logprobs documents"),
        keeps=_words("reasoning"),
        media_in_results=True,
        efforts=("none", *LEVELS),
        base_url="http://127.0.0.1:11434/v1",
        key_required=False,
        rename=OLDER_NAMES,
    ),
    Row(
        kind="lmstudio",
        cannot=SERVED,
        keeps=_words("reasoning_content reasoning top_k"),
        base_url="http://127.0.0.1:1234/v1",
        key_required=False,
        rename=OLDER_NAMES,
    ),
    Row(
        kind="llamacpp",
        cannot=SERVED,
        keeps=_words("reasoning_content top_k"),
        base_url="http://127.0.0.1:8080/v1",
        key_required=False,
    ),
    Row(
        kind="gpustack",
        cannot=SERVED,
        keeps=_words("reasoning_content reasoning top_k"),
        env=("GPUSTACK_API_KEY",),
        key_required=False,
    ),
    Row(kind="openai_compatible", key_required=False, keeps=SENT, media_in_results=True),
    Row(
        kind="simulated",
        keeps=SENT,
        developer=True,
        media_in_results=True,
        base_url="http://simulated.invalid/v1",
        company="simulated",
        key_required=False,
        aggregates=True,
        simulated=True,
    ),
)

ROWS: Final[Mapping[str, Row]] = {row.kind: row for row in (*OPENAI, *ANTHROPIC, *CLOUD, *GOOGLE, *BEDROCK, *LOCAL)}
