"""Reading YAML with places, filling in expressions, and the units that values have. Read next: test_properties.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config.addresses import Privacy, is_loopback, privacy
from gateway.config.expand import Expander
from gateway.config.load import load_text
from gateway.config.source import parse
from gateway.config.units import Count, Duration, Number, OneOrMore, Size, Switch
from gateway.data.catalogue import Facts, facts, micros_per_million
from gateway.errors import ConfigError

ENVIRON = {
    "NAME": "v",
    "EMPTY": "",
    "STRUCTURE": "{a: 1}\nb: 2",
    "DIGITS": "0042",
    "MONEY": "a$${b",
    "NESTED": "${NAME}",
}


def read(text: str) -> Any:
    root, problems = parse(text, "f", Expander(ENVIRON, lambda path: Path(path).read_text()))
    assert problems == []
    assert root is not None
    return root.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: ${NAME}", "v"),
        ("x: a-${NAME}-${NAME}", "a-v-v"),
        ("x: '${NAME}'", "v"),
        ("x: {y: ${NAME}}", {"y": "v"}),
        ("x: [${NAME}, ${NONE:-a, b}]", ["v", "a, b"]),
        ("x: ${STRUCTURE}", "{a: 1}\nb: 2"),
        ("x: ${DIGITS}", "0042"),
        ("x: ${MONEY}", "a$${b"),
        ("x: ${NESTED}", "${NAME}"),
        ("x: ${NONE:-}", ""),
        ("x: ${EMPTY}", ""),
        ("x: ${EMPTY:-d}", "d"),
        ("x: ${NONE:-é, ü}", "é, ü"),
        ("x: $${NAME}", "${NAME}"),
        ("x: $NAME", "$NAME"),
        ("x: 3 # ${NONE}", 3),
    ],
)
def test_expressions_are_filled_into_scalars_and_never_into_structure(text: str, value: Any) -> None:
    assert read(text) == {"x": value}


def test_a_key_is_never_filled_in() -> None:
    assert read("${NAME}: 1") == {"${NAME}": 1}


def test_a_file_is_taken_in_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-x\r\n")
    assert read(f"x: ${{file:{tmp_path}/secret}}") == {"x": "sk-x"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7", 7), ("-7", -7), ("+7", 7), ("0", 0), ("007", "007"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("9" * 18, int("9" * 18)), ("9" * 5000, "9" * 5000),
        ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1.5e-3", 0.0015), ("e3", "e3"), (".", "."),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("on", "on"), ("no", "no"), ("y", "y"), ("1:30", "1:30"), ("2024-10-21", "2024-10-21"),
        ("=", "="), ("'7'", "7"), ('"true"', "true"), ("nan", "nan"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_a_scalar_is_text_unless_it_is_a_decimal_number_true_false_or_null(written: str, value: Any) -> None:
    result = read(f"x: {written}")["x"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Duration, "500ms", 0.5), (Duration, "30s", 30.0), (Duration, "1.5 m", 90.0), (Duration, "2h", 7200.0),
        (Size, "10MiB", 10_485_760), (Size, "1kB", 1000), (Size, 512, 512), (Size, "0.5KiB", 512),
        (Count, "300k", 300_000), (Count, "1.5M", 1_500_000), (Count, 7, 7),
        (Count, "8080", 8080), (Count, "1_000", 1000),
        (Switch, "on", True), (Switch, "off", False), (Switch, "yes", True), (Switch, True, True),
        (Number, "0.85", 0.85), (Number, 1, 1.0),
        (OneOrMore, "a", ("a",)), (OneOrMore, ["a", "b"], ("a", "b")),
    ],
)  # fmt: skip
def test_values_are_written_as_people_write_them(kind: Any, written: object, value: object) -> None:
    assert TypeAdapter(kind).validate_python(written, strict=True) == value


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Duration, "30"), (Duration, 30), (Duration, "-3s"), (Duration, "3 weeks"), (Duration, "3S"), (Duration, ""),
        (Duration, "2d"), (Duration, True), (Size, "10Mb"), (Size, -1), (Size, "ten"), (Size, None),
        (Count, "1.5"), (Count, "3G"), (Count, 1.5), (Count, True), (Count, [1]),
        (Switch, "of"), (Switch, 1), (Number, "x"), (Number, True), (OneOrMore, []), (OneOrMore, [1]), (OneOrMore, 1),
    ],
)  # fmt: skip
def test_what_is_no_such_value_is_refused(kind: Any, written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(written, strict=True)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://api.openai.com/v1", None), ("https://8.8.8.8", None), ("https://[2606:4700::1111]/", None),
        ("http://localhost:1", "loopback"), ("http://127.1", "loopback"), ("http://[::1]:8000", "loopback"),
        ("http://0x7f000001", "loopback"), ("http://[::ffff:127.0.0.1]", "loopback"),
        ("http://a.localhost.", "loopback"),
        ("http://10.0.0.1", "private"), ("http://192.168.1.1", "private"), ("http://172.31.0.1", "private"),
        ("http://100.64.0.1", "private"), ("http://169.254.1.1", "private"), ("http://[fe80::1%25eth0]", "private"),
        ("http://[fd12::1]", "private"), ("http://0.0.0.0", "private"), ("http://vllm:8000", "private"),
        ("http://x.svc.cluster.local", "private"), ("http://GPU.Internal", "private"), ("http://224.0.0.1", "private"),
        ("http://169.254.169.254/latest", "metadata"), ("http://2852039166", "metadata"),
        ("http://metadata.google.internal", "metadata"), ("http://[::ffff:169.254.169.254]", "metadata"),
        ("http://[fd00:ec2::254]", "metadata"), ("not a url", None), ("http://[", None),
    ],
)  # fmt: skip
def test_an_address_is_public_private_or_worse(url: str, where: Privacy | None) -> None:
    assert privacy(url) == where


def test_a_listener_is_on_loopback_or_not() -> None:
    hosts = ("127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0", "::", "10.0.0.1", "example.com")
    assert [host for host in hosts if is_loopback(host)] == ["127.0.0.1", "localhost", "::1", "[::1]"]


def test_the_catalogue_knows_models_by_the_address_of_their_provider() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    known = facts("https://api.openai.com/v1", "gpt-4o-mini", at)
    assert known.price is not None
    assert (known.price.input, known.price.output, known.context_window) == (150_000, 600_000, 128_000)
    dated = facts("https://api.openai.com/v1", "gpt-4o-mini-2024-07-18", at)
    assert dated == known
    assert facts("https://api.openai.com/v1", "no-such-model", at) == Facts()
    elsewhere = facts("https://gpu.example.com", "gpt-4o-mini", at)
    assert (elsewhere.price, elsewhere.capabilities) == (None, known.capabilities)
    assert facts("https://me.openai.azure.com", "gpt-4o-mini", at).price is not None


def test_prices_are_exact_in_micro_dollars() -> None:
    assert [micros_per_million(usd) for usd in (0.15, 0.1, 0.000001, 0.29, 75.0, 0)] == [
        150_000, 100_000, 1, 290_000, 75_000_000, 0,
    ]  # fmt: skip


def test_a_long_chain_of_aliases_is_followed_to_its_end() -> None:
    chain = ", ".join(f"a{i}: a{i + 1}" for i in range(500))
    with pytest.raises(ConfigError, match="leads to 'a500', which is no deployment"):
        load_text(f"aliases: {{{chain}}}\n", {})
