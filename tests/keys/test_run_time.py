"""Keys made while gateways run: over the admin port and the command line, on real sockets, over a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.keys.form import Pepper, mint
from gateway.testing.script import Pace, Script
from tests.gateway import BODY, Running, against
from tests.redis_server import RedisServer

CONFIGURED, CONFIGURED_HASH = mint("configured", Pepper("salt"))
CONFIG = f"""
auth: on
pepper: ${{KEY_PEPPER}}
server: {{admin_token: '${{ADMIN_TOKEN}}'}}
teams: {{support: {{organisation: acme, tags: {{team: support}}, budget: {{usd: 5}}}}}}
organisations: {{acme: {{}}}}
keys: [{{id: configured, secret_hash: {CONFIGURED_HASH}, team: support}}]
budgets: {{ledger: '${{LEDGER}}'}}
"""
ENVIRON = {"KEY_PEPPER": "salt", "ADMIN_TOKEN": "the-admin-token"}


class Office:
    """An operator's client of one gateway."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway

    async def ask(self, method: str, path: str = "", body: object = None) -> Any:
        """The answer as it stands."""
        return await self._gateway.http.request(
            method,
            f"{self._gateway.admin}/admin/keys{path}",
            headers={"authorization": "Bearer the-admin-token", "content-type": "application/json"},
            content=body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
        )

    async def make(self, **said: Any) -> str:
        """A new key."""
        answer = await self.ask("POST", body=said)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    async def refused(self, method: str, path: str = "", body: object = None) -> tuple[int, str, str | None]:
        """Status, code and member of an error."""
        answer = await self.ask(method, path, body)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["param"]


@asynccontextmanager
async def gateway_with(config: str = CONFIG) -> AsyncIterator[tuple[Running, Office]]:
    with tempfile.TemporaryDirectory() as folder:
        async with against(config, **ENVIRON, LEDGER=f"{folder}/ledger") as (gateway, _):
            yield gateway, Office(gateway)


async def status(gateway: Running, key: str, body: object = BODY, **headers: str) -> int:
    return (await gateway.chat(body, authorization=f"Bearer {key}", **headers)).status_code


async def code(gateway: Running, key: str, body: object = BODY, **headers: str) -> tuple[int, str]:
    answer = await gateway.chat(body, authorization=f"Bearer {key}", **headers)
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_key_is_made_used_shown_changed_and_revoked() -> None:
    async with gateway_with() as (gateway, office):
        answer = await office.ask("POST", body={"id": "new", "team": "support", "models": ["a"], "budget": {"usd": 2}})
        made = answer.json()
        key = made.pop("key")
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        assert await status(gateway, key, {**BODY, "model": "a"}) == 200
        assert await code(gateway, key, {**BODY, "model": "b"}) == (403, "model_not_allowed")
        shown = (await office.ask("GET", "/new")).json()
        assert shown == made
        assert {name: shown[name] for name in shown if name != "created_at"} == {
            "id": "new",
            "team": "support",
            "models": ["a"],
            "budget": {"usd": 2},
            "enabled": True,
            "source": "run_time",
            "secrets": 1,
        }
        changed = (await office.ask("PATCH", "/new", {"models": ["b"], "budget": None})).json()
        assert (changed["models"], "budget" in changed) == (["b"], False)
        assert await status(gateway, key, {**BODY, "model": "b"}) == 200
        (record, *_) = await gateway.settled(3)
        assert (record.caller, record.organisation, record.team, record.tags) == (
            "new",
            "acme",
            "support",
            {"team": "support"},
        )
        assert (await office.ask("DELETE", "/new")).status_code == 204
        assert await code(gateway, key) == (401, "invalid_api_key")
        assert await office.refused("GET", "/new") == (404, "key_not_found", None)


async def test_the_list_has_configured_keys_and_others_and_nothing_secret() -> None:
    async with gateway_with() as (gateway, office):
        key = await office.make(id="b")
        another = await office.make(id="a", enabled=False)
        rotated = (await office.ask("POST", "/b/rotate", {})).json()["key"]
        listed = (await office.ask("GET")).json()["keys"]
        assert [(one["id"], one["source"], one["secrets"]) for one in listed] == [
            ("configured", "configuration", 1),
            ("a", "run_time", 1),
            ("b", "run_time", 2),
        ]
        assert await code(gateway, another) == (401, "invalid_api_key")
        await code(gateway, "gw_b_" + "x" * 43)
        pages = [await office.ask("GET"), await office.ask("GET", "/b")]
        pages += [
            await gateway.http.get(gateway.admin + path, headers={"authorization": "Bearer the-admin-token"})
            for path in ("/metrics", "/admin/decisions", "/admin/config", "/admin/state")
        ]
        said = b"\n".join([*gateway.said, *(page.content for page in pages)]).decode()
        said += repr(gateway.app._state.keybook) + repr(gateway.app.pipeline._porter)  # type: ignore[attr-defined]
        for secret in (key, another, rotated):
            for part in (secret, secret[-43:], Pepper("salt").digest(secret)):
                assert part not in said
        assert 'gateway_auth_failures_total{reason="invalid_api_key"} 2.0' in said


async def test_both_secrets_of_a_rotated_key_open_until_the_old_one_is_retired() -> None:
    async with gateway_with() as (gateway, office):
        first = await office.make(id="team")
        second = (await office.ask("POST", "/team/rotate", {})).json()["key"]
        assert [await status(gateway, key) for key in (first, second)] == [200, 200]
        assert (await office.ask("POST", "/team/retire", {})).json()["secrets"] == 1
        assert [await status(gateway, key) for key in (first, second)] == [401, 200]
        third = (await office.ask("POST", "/team/rotate", {})).json()["key"]
        fourth = (await office.ask("POST", "/team/rotate", {})).json()["key"]
        assert [await status(gateway, key) for key in (second, third, fourth)] == [401, 200, 200]


async def test_the_old_secret_ends_when_it_was_told_to() -> None:
    async with gateway_with() as (gateway, office):
        first = await office.make(id="team")
        rotated = (await office.ask("POST", "/team/rotate", {"until": "2999-01-01"})).json()
        assert (rotated["secrets"], rotated["retires_at"]) == (2, 32_472_144_000.0)
        assert await status(gateway, first) == 200
        gateway.app.pipeline._porter._wall = lambda: 32_472_144_000.0
        assert await status(gateway, first) == 401
        assert await status(gateway, rotated["key"]) == 200
        assert await office.refused("POST", "/team/rotate", {"until": "1999-01-01"}) == (400, "invalid_value", "until")


async def test_what_is_wrong_is_told_as_in_the_file() -> None:
    async with gateway_with() as (_, office):
        await office.make(id="there")
        wrong: dict[str, Any] = {
            "id": {"id": "No Such"},
            "models[0]": {"id": "x", "models": [7]},
            "models": {"id": "x", "models": ["c"]},
            "routes": {"id": "x", "routes": ["nowhere"]},
            "team": {"id": "x", "team": "suport"},
            "expires": {"id": "x", "expires": "soon"},
            "networks[0]": {"id": "x", "networks": ["10.0.0.1/8"]},
            "budget.usd": {"id": "x", "budget": {"usd": -1}},
            "secret_hash": {"id": "x", "secret_hash": "a" * 64},
            "priority": {"id": "x", "priority": "high"},
        }
        for param, body in wrong.items():
            assert await office.refused("POST", "", body) == (400, "invalid_value", param)
        said = (await office.ask("POST", "", wrong["team"])).json()["error"]["message"]
        assert said == "There is no team 'suport' (did you mean 'support'?)."
        assert await office.refused("POST", "", {"id": "x", "tags": {"t": "x" * 20_000}}) == (
            400,
            "invalid_value",
            None,
        )
        assert await office.refused("POST", "", {"id": "there"}) == (409, "key_exists", "id")
        assert await office.refused("PATCH", "/there", {"id": "other"}) == (400, "invalid_value", "id")
        assert await office.refused("POST", "", []) == (400, "invalid_json", None)
        assert await office.refused("POST", "", b'{"id":"x","id":"y"}') == (400, "duplicate_key", "id")
        for deep in (b'{"tags":' * 500 + b"1" + b"}" * 500, b"[" * 30_000):
            assert (await office.refused("POST", "", deep))[0] == 400
        for method, path in (("PATCH", ""), ("POST", "/rotate"), ("POST", "/retire"), ("DELETE", "")):
            body = {} if method != "DELETE" else None
            assert await office.refused(method, f"/configured{path}", body) == (409, "key_in_configuration", None)
            assert await office.refused(method, f"/nobody{path}", body) == (404, "key_not_found", None)
        assert await office.refused("POST", "", {"id": "configured"}) == (409, "key_in_configuration", None)
        assert (await office.ask("GET", "/there")).json()["secrets"] == 1


async def test_a_key_without_an_id_is_given_one() -> None:
    async with gateway_with() as (gateway, office):
        assert await status(gateway, await office.make()) == 200


async def test_nobody_without_the_token_and_no_page_in_a_browser_makes_a_key() -> None:
    async with gateway_with() as (gateway, office):
        url = f"{gateway.admin}/admin/keys"
        assert (await gateway.http.post(url, json={"id": "x"})).status_code == 401
        token = {"authorization": "Bearer the-admin-token"}
        for path in ("", "/x/rotate", "/x/retire"):
            plain = await gateway.http.post(url + path, content=b"{}", headers={**token, "content-type": "text/plain"})
            assert plain.status_code == 415
        large = await gateway.http.post(url, json={"id": "x" * 100_000}, headers=token)
        assert large.status_code == 413
        assert [one["id"] for one in (await office.ask("GET")).json()["keys"]] == ["configured"]


async def test_the_first_key_locks_nobody_out_where_none_are_asked_for() -> None:
    async with gateway_with("server: {admin_token: '${ADMIN_TOKEN}'}\nbudgets: {ledger: '${LEDGER}'}") as (
        gateway,
        office,
    ):
        made = (await office.ask("POST", body={"id": "x"})).json()
        assert made["warning"].startswith("the configuration says `auth: off`, or has no keys")
        assert (await gateway.chat()).status_code == 200
        assert await status(gateway, made["key"]) == 200
        assert [r.caller for r in await gateway.settled(2)] == ["anonymous", "anonymous"]


# --- what a key may do ------------------------------------------------------------------------------------------


async def test_a_key_may_be_for_some_operations_only() -> None:
    async with gateway_with() as (gateway, office):
        key = await office.make(operations=["count_tokens"])
        assert await code(gateway, key) == (403, "operation_not_allowed")
        body = {"model": "a", "messages": BODY["messages"]}
        counted = await gateway.http.post(
            f"{gateway.url}/v1/messages/count_tokens", json=body, headers={"x-api-key": key}
        )
        assert counted.status_code == 200


async def test_expired_keys_and_those_from_elsewhere_are_told_so_and_counted() -> None:
    async with gateway_with() as (gateway, office):
        old = await office.make(expires="2020-01-01")
        far = await office.make(networks=["192.0.2.0/24"])
        near = await office.make(networks=["127.0.0.1"])
        assert await code(gateway, old) == (401, "key_expired")
        assert await code(gateway, far) == (403, "network_not_allowed")
        assert await code(gateway, far, **{"x-forwarded-for": "192.0.2.1"}) == (403, "network_not_allowed")
        assert await status(gateway, near) == 200
        models = await gateway.http.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {far}"})
        assert models.status_code == 403
        metrics = (
            await gateway.http.get(f"{gateway.admin}/metrics", headers={"authorization": "Bearer the-admin-token"})
        ).text
        assert 'gateway_auth_failures_total{reason="key_expired"} 1.0' in metrics
        assert 'gateway_auth_failures_total{reason="network_not_allowed"} 3.0' in metrics


async def test_behind_a_load_balancer_its_clients_address_counts() -> None:
    config = CONFIG.replace("server: {", "server: {trusted_proxies: [127.0.0.0/8], ")
    async with gateway_with(config) as (gateway, office):
        key = await office.make(networks=["192.0.2.0/24"])
        assert await status(gateway, key, **{"x-forwarded-for": "1.1.1.1, 192.0.2.1"}) == 200
        assert await status(gateway, key, **{"x-forwarded-for": "192.0.2.1, 1.1.1.1"}) == 403
        assert await status(gateway, key) == 403


async def test_a_keys_own_priority_counts_more_than_what_its_requests_say(tmp_path: Path) -> None:
    config = CONFIG + "admission: {max_inflight: 1, queue: 10, queue_wait: 5s}\n"
    async with against(config, **ENVIRON, LEDGER=f"{tmp_path}/ledger") as (gateway, provider):
        provider.script("*", Script(pace=Pace(0.2, 0)))
        office = Office(gateway)
        batch, urgent = await office.make(id="batch", priority="batch"), await office.make(id="urgent")
        first = asyncio.create_task(status(gateway, urgent))
        while not provider.requests:
            await asyncio.sleep(0.005)
        late = asyncio.create_task(status(gateway, batch, **{"x-gateway-priority": "interactive"}))
        while gateway.app.admission.waiting < 1:
            await asyncio.sleep(0.005)
        then = asyncio.create_task(status(gateway, urgent))
        assert list(await asyncio.gather(first, late, then)) == [200, 200, 200]
        assert [r.caller for r in await gateway.settled(3)] == ["urgent", "urgent", "batch"]


async def test_the_end_user_is_in_the_record_in_either_dialect() -> None:
    async with gateway_with() as (gateway, _):
        key = {"authorization": f"Bearer {CONFIGURED}"}
        for said in ({"user": "u1"}, {"safety_identifier": "s1"}, {"user": "u2", "safety_identifier": "s2"}):
            await gateway.chat({**BODY, **said}, **key)
        for odd in ({"user": "x" * 300}, {"user": ""}, {"safety_identifier": 7}):
            assert (await gateway.chat({**BODY, **odd}, **key)).status_code == 200
        body = {"model": "a", "max_tokens": 5, "messages": BODY["messages"], "metadata": {"user_id": "m1"}}
        await gateway.http.post(f"{gateway.url}/v1/messages", json=body, headers=key)
        records = await gateway.settled(7)
        assert [r.user for r in records] == ["u1", "s1", "u2", "x" * 256, None, None, "m1"]
        assert {(r.organisation, r.team) for r in records} == {("acme", "support")}


async def test_without_redis_keys_and_what_they_spent_survive_a_restart(tmp_path: Path) -> None:
    # Nobody has a budget before the first key is made.
    config = "auth: on\nserver: {admin_token: '${ADMIN_TOKEN}'}\nbudgets: {ledger: '${LEDGER}'}\n"
    ledger = tmp_path / "ledger"
    async with against(config, **ENVIRON, LEDGER=str(ledger)) as (gateway, _):
        assert not ledger.exists()
        office = Office(gateway)
        key = await office.make(id="kept", budget={"usd": 1})
        gone = await office.make(id="gone")
        await office.ask("DELETE", "/gone")
        assert await status(gateway, key) == 200
        (record,) = await gateway.settled(1)
    assert secret_parts(key).isdisjoint(ledger.read_text().split('"'))
    async with against(config, **ENVIRON, LEDGER=str(ledger)) as (gateway, _):
        assert [await status(gateway, one) for one in (key, gone)] == [200, 401]
        (again, _) = await gateway.settled(2)
        (account,) = gateway.app.treasury.book.accounts.values()
        assert (account.others_settled, account.settled) == (record.cost, again.cost)


def secret_parts(key: str) -> set[str]:
    return {key, key[-43:]}


# --- a fleet ----------------------------------------------------------------------------------------------------


async def test_a_key_that_is_made_and_revoked_at_one_gateway_is_so_at_the_other(redis_server: RedisServer) -> None:
    config = f"{CONFIG}state: {redis_server.url}\n"
    async with gateway_with(config) as (one, office), gateway_with(config) as (other, _):
        while not (one.app.state().up and other.app.state().up):
            await asyncio.sleep(0.01)
        key = await office.make(id="shared")
        assert [await status(gateway, key) for gateway in (one, other)] == [200, 200]
        revoked = time.monotonic()
        assert (await office.ask("DELETE", "/shared")).status_code == 204
        assert await status(one, key) == 401
        while await status(other, key) != 401:
            await asyncio.sleep(0.01)
        assert time.monotonic() - revoked < 1.0  # one sync is 100 ms, and this machine may be busy


async def test_without_redis_a_key_that_is_not_known_here_is_a_503(redis_server: RedisServer) -> None:
    config = f"{CONFIG}state: {redis_server.url}\n"
    async with gateway_with(config) as (one, office), gateway_with(config) as (other, _):
        while not (one.app.state().up and other.app.state().up):
            await asyncio.sleep(0.01)
        key = await office.make(id="shared")
        redis_server.kill()
        assert await status(one, key) == 200
        assert await status(one, CONFIGURED) == 200
        other.app._state._keyring._known.clear()  # type: ignore[attr-defined]
        answer = await other.chat(authorization=f"Bearer {key}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert await code(other, "nonsense") == (401, "invalid_api_key")
        assert await office.refused("POST", "", {"id": "x"}) == (503, "state_unavailable", None)


# --- the command line -------------------------------------------------------------------------------------------


async def signalbox(*arguments: str, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "keys", *arguments),
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), wrong.decode()


async def test_the_command_line_does_it_all() -> None:
    async with gateway_with() as (gateway, _):

        async def keys(*arguments: str) -> tuple[int, str, str]:
            return await signalbox(*arguments, "--admin", gateway.admin, ADMIN_TOKEN="the-admin-token")

        done, said, _ = await keys(
            "create", "cli", "models=[a]", "team=support", "expires=2999-01-01", "limits={rpm: 60}"
        )
        key, view = said.split("\n")[0], json.loads(said[said.index("{") :])
        assert (done, view["models"], view["limits"]) == (0, ["a"], {"rpm": 60})
        assert await status(gateway, key, {**BODY, "model": "a"}) == 200
        listed = (await keys("list"))[1].splitlines()
        assert [line.split() for line in listed] == [
            ["id", "source", "team", "enabled", "secrets", "expires", "problem"],
            ["configured", "configuration", "support", "true", "1"],
            ["cli", "run_time", "support", "true", "1", "2999-01-01"],
        ]
        assert json.loads((await keys("show", "cli"))[1]) == view
        changed = json.loads((await keys("set", "cli", "models=", "enabled=off"))[1])
        assert ("models" in changed, changed["enabled"]) == (False, False)
        assert await status(gateway, key) == 401
        await keys("set", "cli", "enabled=on")
        second = (await keys("rotate", "cli"))[1].split("\n")[0]
        assert [await status(gateway, one) for one in (key, second)] == [200, 200]
        assert json.loads((await keys("rotate", "cli", "--retire"))[1])["secrets"] == 1
        assert [await status(gateway, one) for one in (key, second)] == [401, 200]
        assert await keys("revoke", "cli") == (0, "Key cli is revoked.\n", "")
        assert await keys("revoke", "cli") == (1, "", f"{gateway.admin} refused: There is no key 'cli'.\n")
        assert await keys("create", "configured") == (
            1,
            "",
            f"{gateway.admin} refused: Key 'configured' is in the configuration: change it there, and reload.\n",
        )
        assert (await keys("create", "x", "models=[a"))[0] == 2
        assert (await signalbox("list", "--admin", gateway.admin))[0] == 1


async def test_an_admin_port_where_nobody_is_is_named() -> None:
    done, _, wrong = await signalbox("list", "--admin", "http://127.0.0.1:9")
    assert done == 1
    assert wrong.startswith("No gateway answers at http://127.0.0.1:9: ")


async def test_a_key_for_the_file_is_hashed_with_the_pepper_of_the_environment() -> None:
    _, said, _ = await signalbox("new", "x", KEY_PEPPER="salt")
    key, digest = said.split("\n")[0], said.rsplit(": ", 1)[1].strip()
    assert digest == Pepper("salt").digest(key)
    assert "pepper: ${KEY_PEPPER}" in said


@pytest.mark.parametrize("wrong", ["Team A", "a_b", ""])
async def test_an_id_that_is_none_is_refused_on_the_command_line(wrong: str) -> None:
    assert (await signalbox("new", wrong))[0] == 2


async def test_a_key_that_is_revoked_while_its_request_waits_at_the_door_opens_no_more() -> None:
    config = f"{CONFIG}admission: {{max_inflight: 1, queue: 5, queue_wait: 20s}}\n"
    with tempfile.TemporaryDirectory() as folder:
        async with against(config, **ENVIRON, LEDGER=f"{folder}/ledger") as (gateway, provider):
            office = Office(gateway)
            first, second = await office.make(id="first"), await office.make(id="second")
            provider.script("*", Script(pace=Pace(0.5, 0)))
            serving = asyncio.create_task(status(gateway, first))
            async with asyncio.timeout(5):
                while gateway.app.admission.inflight < 1:
                    await asyncio.sleep(0.005)
                waiting = asyncio.create_task(code(gateway, second))
                while gateway.app.admission.waiting < 1:
                    await asyncio.sleep(0.005)
                assert (await office.ask("DELETE", "/second")).status_code == 204
                assert await serving == 200
                assert await waiting == (401, "invalid_api_key")
            await gateway.settled(2)
            assert (gateway.app.admission.inflight, gateway.app.admission.waiting) == (0, 0)
