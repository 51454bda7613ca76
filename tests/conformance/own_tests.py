"""The SDK's own tests of chat and models, against a mock of the API: directly, and through the gateway.

Read next: workshop.py, where tests and mock come from; docs/conformance.md, what the gateway does not serve.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as XML

from msgspec import Struct

from tests.conformance.running import gateway
from tests.conformance.workshop import Sdk

__all__ = ["Result", "judge"]

CHAT: Final = "tests/api_resources/chat"
MODELS: Final = "tests/api_resources/test_models.py"
#: The gateway keeps no completions to list, read, change or delete, and its models are deleted in its configuration.
SERVED: Final = "create or (test_models and not delete)"


class Result(Struct, frozen=True):
    """``direct`` and ``through`` are the names of the tests that passed; ``left_out`` counts those not asked for."""

    direct: frozenset[str]
    through: frozenset[str]
    asked: int
    left_out: int

    @property
    def content(self) -> bool:
        """Whether there were tests, all of them pass directly, and all of those through the gateway."""
        return 0 < self.asked == len(self.direct) and not self.lost

    @property
    def lost(self) -> list[str]:
        """The tests that only the gateway fails."""
        return sorted(self.direct - self.through)


async def judge(sdk: Sdk, upstream: str) -> Result:
    """Run the tests both ways."""
    direct, asked, left_out = await passed(sdk, upstream)
    async with gateway(config_for(sdk, upstream), {"PROVIDER_KEY": "any"}) as url:
        through, _, _ = await passed(sdk, f"{url}/v1")
    return Result(direct, through, asked, left_out)


def config_for(sdk: Sdk, upstream: str) -> str:
    """A deployment for each model that the tests name."""
    text = "".join(path.read_text() for path in (sdk.tests / CHAT / "test_completions.py", sdk.tests / MODELS))
    models = sorted(set(re.findall(r'"((?:gpt|o\d)[\w.-]*)"', text)))
    mock = f"{{kind: openai_compatible, base_url: '{upstream}', allow_private: true, api_key: '${{PROVIDER_KEY}}'}}"
    lines = [f"providers: {{mock: {mock}}}", "deployments:"]
    lines += [f"  {model}: {{provider: mock, model: {model}, price: {{input: 1, output: 1}}}}" for model in models]
    return "\n".join([*lines, "server: {port: 0, admin_port: 0, drain_delay: 0s}"]) + "\n"


async def passed(sdk: Sdk, base_url: str) -> tuple[frozenset[str], int, int]:
    """The names of the tests that passed, how many were run, and how many were left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        process = await asyncio.create_subprocess_exec(
            *(str(sdk.python), "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", f"--junitxml={report}"),
            *("-k", SERVED, CHAT, MODELS),
            cwd=sdk.tests,
            env={**os.environ, "TEST_API_BASE_URL": base_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if not report.exists():
            raise RuntimeError(f"pytest did not run: {said.decode(errors='replace')[-500:]}")
        cases = list(XML.parse(report).getroot().iter("testcase"))
    good = frozenset(f"{case.get('classname')}::{case.get('name')}" for case in cases if not len(case))
    collected = await collects(sdk)
    return good, len(cases), collected - len(cases)


async def collects(sdk: Sdk) -> int:
    """How many tests there are in all."""
    process = await asyncio.create_subprocess_exec(
        *(str(sdk.python), "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--collect-only", CHAT, MODELS),
        cwd=sdk.tests,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return sum("::" in line for line in said.decode().splitlines())
