"""What a canonical request asks for beside its messages, read once for every foreign protocol. Read next: turns.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from gateway.errors import CannotSay
from gateway.providers.turns import cache_of, text_at

__all__ = ["Tool", "Wishes", "allowed_in", "name_in", "read"]

Choice = Literal["auto", "none", "required", "named"]


class Tool(Struct):
    """A function that the client runs. ``parameters`` is a JSON schema, of an object without members where none is."""

    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool | None = None
    cache: Mapping[str, Any] | None = None


class Wishes(Struct):
    """The rest of a request.

    ``choice`` is None when nothing is said of it; ``named`` is the one function to call, ``allowed`` those that may be.
    ``server_tools`` stand as the client wrote them. ``limit`` is the most tokens of the answer. ``schema`` is what the
    answer must fit, by its name; ``json`` says that it must be a JSON object. ``effort`` is how hard to think,
    ``budget`` the most tokens of it, ``adaptive`` that the model decides.
    """

    tools: list[Tool] = []
    server_tools: list[Mapping[str, Any]] = []
    choice: Choice | None = None
    named: str | None = None
    allowed: frozenset[str] | None = None
    parallel: bool | None = None
    limit: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    json: bool = False
    schema: dict[str, Any] | None = None
    schema_name: str | None = None
    schema_strict: bool | None = None
    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False


def read(fields: Mapping[str, Any]) -> Wishes:
    """The wishes of a judged request. Raises CannotSay for what is of no type that anybody reads."""
    wishes = Wishes(
        parallel=fields.get("parallel_tool_calls"),
        limit=fields.get("max_completion_tokens") or fields.get("max_tokens"),
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        top_k=fields.get("top_k"),
        stop=stops(fields.get("stop")),
        effort=fields.get("reasoning_effort"),
    )
    for tool in fields.get("tools") or ():
        if tool.get("type") in (None, "function") and isinstance(function := tool.get("function"), dict):
            wishes.tools.append(tool_of(function, cache_of(tool)))
        else:
            wishes.server_tools.append(tool)
    wishes.tools += [tool_of(function, None) for function in fields.get("functions") or ()]
    read_choice(wishes, fields.get("tool_choice") or fields.get("function_call"))
    read_format(wishes, fields.get("response_format"))
    read_thinking(wishes, fields.get("thinking"))
    return wishes


def tool_of(function: Mapping[str, Any], cache: Mapping[str, Any] | None) -> Tool:
    parameters = function.get("parameters")
    return Tool(
        name=text_at(function, "name", "tools[].function"),
        description=text_at(function, "description", "tools[].function") or None,
        parameters=parameters if isinstance(parameters, dict) and parameters else {"type": "object", "properties": {}},
        strict=function.get("strict"),
        cache=cache,
    )


def stops(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else list(said or ())


def read_choice(wishes: Wishes, said: Any) -> None:
    if said in ("auto", "none", "required"):
        wishes.choice = said
    elif said == "any":
        wishes.choice = "required"
    elif isinstance(said, dict):
        if isinstance(allowed := said.get("allowed_tools"), dict):
            wishes.choice = "required" if allowed.get("mode") == "required" else "auto"
            wishes.allowed = allowed_in(allowed.get("tools"))
        elif name := name_in(said):
            wishes.choice, wishes.named = "named", name


def allowed_in(tools: Any) -> frozenset[str]:
    """The names of the tools that may be called. Raises CannotSay: without them any could be."""
    if not isinstance(tools, list):
        raise CannotSay("tool_choice.allowed_tools.tools is no list.", param="tool_choice")
    return frozenset(name for tool in tools if (name := name_in(tool)))


def name_in(said: Any) -> str | None:
    if not isinstance(said, dict):
        return None
    function = said.get("function")
    found = function.get("name") if isinstance(function, dict) else said.get("name")
    return found if isinstance(found, str) else None


def read_format(wishes: Wishes, said: Any) -> None:
    kind = said.get("type") if isinstance(said, dict) else None
    wishes.json = kind == "json_object"
    if kind == "json_schema" and isinstance(form := said.get("json_schema"), dict):
        schema = form.get("schema")
        wishes.schema = schema if isinstance(schema, dict) else {}
        wishes.schema_name, wishes.schema_strict = form.get("name"), form.get("strict")


def read_thinking(wishes: Wishes, said: Any) -> None:
    if not isinstance(said, dict):
        return
    budget = said.get("budget_tokens")
    if said.get("type") == "disabled":
        wishes.effort = "none"
    elif said.get("type") == "adaptive":
        wishes.adaptive = True
    elif isinstance(budget, int):
        wishes.budget = budget
