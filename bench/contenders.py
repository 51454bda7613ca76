"""The gateways that peers.py puts on the wall beside ours: how each is installed, told what to do, and started.

Read next: peers.py. Each gets the terms of Failover Bench: two retries, 30 s for a request and for idleness, one
fallback, no cache, and its own defaults for the rest; written as the configurations are that Failover Bench publishes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

from gateway.testing.wall.scenarios import FALLBACKS, SCENARIOS

__all__ = ["CONTENDERS", "Contender", "NotInstalled"]

KEY: Final = "sk-on-the-wall"
#: With the two packages that its own lock file and image have: with the newest that npm would take, no stream works.
PORTKEY: Final = {
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.5", "hono": "4.9.7"},
}


class NotInstalled(Exception):
    """A gateway cannot be had here; the message says why."""


class Contender(Struct, frozen=True):
    """A gateway other than ours.

    ``install`` takes a folder of its own and gives the version that is there. ``command`` takes that folder, the port
    to listen at and the wall's base URL. ``headers`` take the wall's, and go with every call.
    """

    name: str
    install: Callable[[Path], str]
    command: Callable[[Path, int, str], Sequence[str]]
    headers: Callable[[str], Mapping[str, str]] = lambda wall: {}
    environ: Mapping[str, str] = {}


def litellm(release: str) -> Callable[[Path], str]:
    """Installs LiteLLM's proxy into a venv of its own; an empty release means the newest."""

    def install(folder: Path) -> str:
        python = folder / "bin" / "python"
        if not (folder / "bin" / "litellm").exists():
            run(sys.executable, "-m", "venv", str(folder))
            wanted = "litellm[proxy]" + (f"=={release}" if release else "")
            run(str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wanted)
        ask = "from importlib.metadata import version; print(version('litellm'))"
        return run(str(python), "-c", ask).strip()

    return install


def litellm_command(folder: Path, port: int, wall: str) -> Sequence[str]:
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(litellm_config(wall)), encoding="utf-8")
    return (str(folder / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port))


def litellm_config(wall: str) -> dict[str, Any]:
    """Every model of the wall, and for each that fails where to turn to."""
    account = {"api_base": wall, "api_key": "any"}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **account}}
        for name in (*SCENARIOS, *FALLBACKS)
    ]
    instead = [{name: [scenario.fallback]} for name, scenario in SCENARIOS.items()]
    router = {"num_retries": 2, "timeout": 30, "fallbacks": instead, "context_window_fallbacks": instead}
    return {
        "model_list": models,
        "router_settings": router,
        "litellm_settings": {"drop_params": True},
        "general_settings": {"master_key": KEY},
    }


def portkey(folder: Path) -> str:
    """Installs Portkey's gateway from npm into a folder of its own."""
    if shutil.which("npm") is None:
        raise NotInstalled("there is no npm to install it with")
    place = folder / "node_modules" / "@portkey-ai" / "gateway"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(PORTKEY), encoding="utf-8")
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", f"--prefix={folder}")
    as_in_its_image(folder / "node_modules" / "async-retry" / "lib" / "index.js")
    return str(json.loads((place / "package.json").read_text(encoding="utf-8"))["version"])


def as_in_its_image(retry: Path) -> None:
    """Gives the function that is retried the operation too, which the gateway needs to wait as a provider asks.

    Portkey's own image patches async-retry so. Its npm package wants the same done when it is installed, but comes
    without the patch.
    """
    text = retry.read_text(encoding="utf-8")
    retry.write_text(text.replace("fn(bail, num);", "fn(bail, num, op);"), encoding="utf-8")


#: Portkey's gateway has no option for the address that it listens at.
LOOPBACK: Final = """
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};
"""


def portkey_command(folder: Path, port: int, wall: str) -> Sequence[str]:
    loopback = folder / "loopback.cjs"
    loopback.write_text(LOOPBACK, encoding="utf-8")
    server = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return ("node", "--require", str(loopback), str(server), f"--port={port}", "--headless")


def portkey_headers(wall: str) -> Mapping[str, str]:
    """All that Portkey's gateway is told comes with each request."""
    target = {"provider": "openai", "api_key": "any", "custom_host": wall}
    retry = {"attempts": 2, "on_status_codes": [429, 500, 502, 503, 504], "use_retry_after_header": True}
    config = {
        "strategy": {"mode": "fallback"},
        "request_timeout": 30_000,
        "targets": [
            {**target, "override_params": {"model": "{model}"}, "retry": retry},
            {**target, "override_params": {"model": "{fallback}"}},
        ],
    }
    return {"x-portkey-config": json.dumps(config)}


def run(*command: str) -> str:
    """What a command prints. Raises NotInstalled when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:4])} … failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


LITELLM_ENVIRON: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}

#: By the name of the folder that each is installed in.
CONTENDERS: Final[Mapping[str, Contender]] = {
    "litellm": Contender("LiteLLM", litellm(""), litellm_command, environ=LITELLM_ENVIRON),
    "litellm-1.80.5": Contender("LiteLLM", litellm("1.80.5"), litellm_command, environ=LITELLM_ENVIRON),
    "portkey": Contender("Portkey", portkey, portkey_command, portkey_headers),
}
