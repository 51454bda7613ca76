"""The container's files agree with each other and with the code. tests/dashboard runs the dashboard for real."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from fastapi.routing import APIRoute

from gateway.api.admin import Desk, make_admin
from gateway.config.load import load
from gateway.providers.rows import ROWS
from gateway.telemetry.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/signalbox.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
GATEWAY = COMPOSE["services"]["gateway"]

ENVIRON = {
    "SIGNALBOX_KEY_HASH": sha256(b"sk-sb-for-tests").hexdigest(),
    "ADMIN_TOKEN": "token-for-tests",
    "REDIS_URL": "redis://redis:6379/0",
    "OPENAI_API_KEY": "sk-for-tests",
}


def test_the_containers_configuration_is_valid_and_asks_for_a_key() -> None:
    world = load(ROOT / "docker/gateway.yaml", ENVIRON)
    assert (world.auth, [key.caller.id for key in world.keys.values()]) == (True, ["first"])
    assert (world.server.host, world.server.admin_host) == ("0.0.0.0", "0.0.0.0")
    assert world.server.admin_token is not None
    assert world.state is not None
    assert world.money.webhook is None


def test_what_survives_a_crash_is_written_to_a_volume() -> None:
    world = load(ROOT / "docker/gateway.yaml", ENVIRON)
    written = (world.money.ledger, world.journal.path)
    (kept,) = [volume.partition(":") for volume in GATEWAY["volumes"] if volume.partition(":")[0] in COMPOSE["volumes"]]
    assert all(path is not None and Path(path).parent == Path(kept[2]) for path in written)
    assert f"WORKDIR {kept[2]}" in DOCKERFILE
    assert f"-v signalbox:{kept[2]} " in OPERATIONS


def test_compose_gives_the_gateway_every_variable_that_its_configuration_names() -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "docker/gateway.yaml").read_text(encoding="utf-8")))
    assert named <= set(GATEWAY["environment"])


def test_every_provider_key_that_compose_passes_on_is_one_that_is_discovered() -> None:
    passed = {name for name, value in GATEWAY["environment"].items() if value is None}
    assert passed
    assert passed <= {name for row in ROWS.values() for name in row.env}


def test_the_example_environment_names_every_variable_that_compose_wants() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    passed = {name for name, value in GATEWAY["environment"].items() if value is None}
    example = re.findall(r"^(\w+)=(.*)$", (ROOT / "docker/example.env").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _ in example} == set(re.findall(r"\$\{(\w+)", text)) | passed
    assert {value for _, value in example} == {""}


def test_the_gateway_runs_with_no_rights_and_a_file_system_it_cannot_write() -> None:
    assert (GATEWAY["read_only"], GATEWAY["cap_drop"], GATEWAY["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert GATEWAY["security_opt"] == ["no-new-privileges:true"]
    assert "USER 10001:10001" in DOCKERFILE.split("FROM ${PYTHON_IMAGE}")[-1]


def test_only_the_gateways_own_port_is_published_beyond_this_machine() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["8080:8080"]


def test_stopping_waits_longer_than_the_gateway_drains() -> None:
    minutes = int(GATEWAY["stop_grace_period"].removesuffix("m"))
    server = load(ROOT / "docker/gateway.yaml", ENVIRON).server
    assert minutes * 60 > server.drain_delay_s + server.drain_s


def test_redis_keeps_what_it_is_given() -> None:
    command = COMPOSE["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")


def test_what_is_mounted_is_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), volume


def test_prometheus_scrapes_the_admin_port_with_its_token() -> None:
    (job,) = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    world = load(ROOT / "docker/gateway.yaml", ENVIRON)
    assert job["static_configs"] == [{"targets": [f"gateway:{world.server.admin_port}"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/admin_token"
    assert COMPOSE["services"]["prometheus"]["secrets"] == ["admin_token"]


def test_the_image_installs_only_what_is_pinned_with_hashes() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel)[^&\n]*", DOCKERFILE)
    assert len(installs) == 4
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_the_image_starts_and_stops_the_gateway_itself() -> None:
    entry, command = (json.loads(re.findall(rf"^{word} (\[.*\])$", DOCKERFILE, re.MULTILINE)[0]) for word in STARTS)
    assert [*entry, *command] == ["/opt/signalbox/bin/signalbox", "run", "--config", "/etc/signalbox/gateway.yaml"]
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert "127.0.0.1:8080/healthz" in DOCKERFILE
    assert "./docker:/etc/signalbox:ro" in GATEWAY["volumes"]


STARTS = ("ENTRYPOINT", "CMD")


def test_the_build_sees_only_what_it_copies() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {source.split("/")[0] for line in copied for source in line.split()} == allowed


def scraped() -> dict[str, set[str]]:
    """The names that Prometheus will hold, with their labels."""
    names: dict[str, set[str]] = {}
    for metric in CATALOGUE:
        ends = ("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",)
        names |= {metric.name + end: {*metric.labels, *({"le"} if end == "_bucket" else ())} for end in ends}
    return names


def expressions() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize(("title", "expr"), expressions())
def test_every_panel_asks_for_metrics_and_labels_that_exist(title: str, expr: str) -> None:
    known = scraped()
    asked = re.findall(r"\b((?:gateway|process|gen_ai)_\w+)(\{[^}]*\})?", expr)
    assert asked, f"{title} asks for nothing: {expr}"
    for name, selector in asked:
        assert name in known or name.startswith("process_"), f"{title}: {name} is not in the catalogue"
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) - {"job", "instance"}
        assert labels <= known.get(name, set()), f"{title}: {name} has no label {labels - known.get(name, set())}"
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expr) for label in re.split(r",\s*", group)}
    assert grouped <= set().union(*(known.get(name, set()) for name, _ in asked)) | {"instance"}


def test_every_metric_worth_a_panel_has_one() -> None:
    shown = " ".join(expr for _, expr in expressions())
    # The GenAI names are there for other dashboards: they count per try what these panels show per deployment.
    missing = [m.name for m in CATALOGUE if m.name not in shown and not m.name.startswith("gen_ai_")]
    assert missing == []


def test_panels_have_titles_and_ids_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), f"{one['title']} lies over {other['title']}"


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    across = a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
    return across and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def test_every_panel_reads_from_the_source_that_is_provisioned() -> None:
    provisioned: Any = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/datasources/prometheus.yaml").read_text(encoding="utf-8")
    )
    uids = {panel["datasource"]["uid"] for panel in PANELS}
    assert uids == {source["uid"] for source in provisioned["datasources"]}


OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_the_operations_page_asks_for_metrics_that_exist() -> None:
    asked = set(re.findall(r"\bgateway_[a-z_]+", OPERATIONS)) - {"gateway_error"}  # an outcome
    assert asked
    assert asked <= set(scraped())


def test_the_operations_page_lists_the_admin_ports_addresses() -> None:
    documented = set(re.findall(r"^\| `(GET|POST|PATCH|DELETE) (\S+)` \|", OPERATIONS, re.MULTILINE))
    routes = [route for route in make_admin(cast(Desk, None), lambda: None, None).routes if isinstance(route, APIRoute)]
    served = {(method, route.path) for route in routes for method in route.methods or ()}
    health = {("GET", "/healthz"), ("HEAD", "/healthz"), ("GET", "/readyz"), ("HEAD", "/readyz")}
    assert documented == served - health
