"""Values as people write them: ``30s``, ``10MiB``, ``300k``, ``on``, one word or a list of them, secrets.

Read next: schema.py, whose fields are made of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.types import Secret

__all__ = [
    "Count",
    "Duration",
    "Hidden",
    "HiddenDocument",
    "Moment",
    "Network",
    "Number",
    "OneOrMore",
    "Size",
    "Switch",
    "Text",
]

_QUANTITY: Final = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?) ?([A-Za-z]*)")
_EXPRESSION: Final = r".*\$\{.*\}.*"
_SECONDS: Final[Mapping[str, Decimal | int]] = {
    "ms": Decimal("0.001"),
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
}
_BYTES: Final = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_COUNTS: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6}
_SWITCH: Final = {
    **dict.fromkeys(("on", "yes", "true", "On", "Yes", "ON", "YES"), True),
    **dict.fromkeys(("off", "no", "false", "Off", "No", "OFF", "NO"), False),
}


def _quantity(value: Any, units: Mapping[str, Decimal | int], expected: str) -> Decimal:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) and value is not True else None
    if match is None or match[2] not in units:
        raise PydanticCustomError("quantity", "{expected}", {"expected": expected})
    return Decimal(match[1].replace("_", "")) * units[match[2]]


def _duration(value: Any) -> float:
    return float(_quantity(value, _SECONDS, "expected a duration with its unit, as 500ms, 30s, 10m or 1h"))


def _size(value: Any) -> int:
    return int(_quantity(value, _BYTES, "expected a size, as 512KiB or 10MiB"))


def _count(value: Any) -> int:
    expected = "expected a whole number, as 600, 300k or 1.5M"
    amount = _quantity(value, _COUNTS, expected)
    if amount != int(amount):
        raise PydanticCustomError("quantity", "{expected}", {"expected": expected})
    return int(amount)


def _switch(value: Any) -> Any:
    return _SWITCH.get(value, value) if isinstance(value, str) else value


def _moment(value: Any) -> float:
    """Unix time of a date, which is its beginning, or of a date and a time; UTC unless it says another zone."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        expected = "expected a date, as 2027-01-31 or 2027-01-31T12:00:00Z"
        raise PydanticCustomError("moment", "{expected}", {"expected": expected}) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _number(value: Any) -> Any:
    """A number that came out of the environment is text; what is not one stays for pydantic to refuse."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    return value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("secret", "expected text: write a key in quotes, or better as ${NAME}")
    if not value.strip() or not value.isprintable() or not value.isascii():
        raise PydanticCustomError(
            "secret", "it is empty, or holds a line break or a character that no header can carry"
        )
    return Secret(value)


def _document(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("secret", "expected the path of a file, or a document as ${{file:/path}}")
    return Secret(value)


def _network(value: str) -> str:
    """A network as it is written, if it is one: with bits of a host it might be taken for more than is meant."""
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        expected = "expected a network or an address, as 10.0.0.0/8 or 2001:db8::1"
        raise PydanticCustomError("network", "{expected}", {"expected": expected}) from None
    if (mapped := getattr(network.network_address, "ipv4_mapped", None)) is not None and network.prefixlen >= 96:
        # Who connects so is known by the address of IPv4: it would never be in there.
        instead = f"{mapped}/{network.prefixlen - 96}"
        raise PydanticCustomError("network", "that network is {network}", {"network": instead})
    if "/" in value and str(network.network_address) != str(ip_address(value.partition("/")[0])):
        raise PydanticCustomError("network", "that network is {network}", {"network": str(network)})
    return value


def _quantity_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": f"^({_EXPRESSION}|{pattern})$"}, {"type": "integer", "minimum": 0}],
            "examples": [example],
        }
    )


Text = Annotated[str, Field(min_length=1, max_length=4096)]
#: A network or an address, as text.
Network = Annotated[Text, AfterValidator(_network)]
#: Seconds, from text with a unit.
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(le=86400),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^({_EXPRESSION}|[0-9._]+ ?(ms|s|m|min|h|d))$", "examples": ["30s"]}
    ),
]
#: Bytes.
Size = Annotated[int, BeforeValidator(_size), _quantity_schema(r"[0-9._]+ ?([kKMG]i?B|B)", "10MiB")]
#: Unix time, from a date.
Moment = Annotated[
    float,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2027-01-31", "2027-01-31T12:00:00Z"]}),
]
Count = Annotated[int, BeforeValidator(_count), _quantity_schema(r"[0-9._]+ ?[kKM]?", "300k")]
Number = Annotated[float, BeforeValidator(_number)]
Switch = Annotated[
    bool,
    BeforeValidator(_switch),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "boolean"},
                {"enum": ["on", "off", "yes", "no"]},
                {"type": "string", "pattern": _EXPRESSION},
            ]
        }
    ),
]
OneOrMore = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    BeforeValidator(_one_or_more),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
#: A secret: never shown, never serialised.
Hidden = Annotated[
    Secret,
    PlainValidator(_secret),
    PlainSerializer(lambda _: "…", return_type=str),
    WithJsonSchema({"type": "string", "description": "a secret, as ${NAME} or ${file:/path}"}),
]
#: A secret of several lines, or the path of the file that holds it.
HiddenDocument = Annotated[
    Secret,
    PlainValidator(_document),
    PlainSerializer(lambda _: "…", return_type=str),
    WithJsonSchema({"type": "string", "description": "a path, or a document as ${file:/path}"}),
]
