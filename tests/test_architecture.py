"""Who may import whom: the one structural rule that fails the build."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gateway"

#: From the bottom up. A part may import from its own layer's own package and from any layer below.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "dice"}),
    frozenset({"types"}),
    frozenset({"money", "standing"}),
    frozenset({"story"}),
    frozenset({"intent", "policy", "reliability", "providers", "budgets", "data", "usage"}),
    frozenset({"cache", "config", "state", "telemetry", "upstream", "offline", "testing"}),
    frozenset({"health", "limits", "admission", "refusal", "dialects", "identity", "keys", "treasury", "alerts"}),
    frozenset({"pipeline", "report", "spending"}),
    frozenset({"api"}),
    frozenset({"app"}),
    frozenset({"launch", "workers", "commands"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
PURE = frozenset(
    """
    errors dice types money standing story intent policy reliability providers budgets dialects usage
    """.split()
)
#: Reasons for imports inside a layer, beside those below.
BESIDE = {
    ("providers", "reliability"),  # a protocol names the kind of a failure through the meaning table
    ("policy", "budgets"),  # what a try may cost at most decides whether it may be made
    ("config", "policy"),  # a strategy's fields are its YAML
    ("testing", "upstream"),  # the simulator is also a transport
    ("config", "data"),
    ("config", "state"),  # an address is read by who connects to it
}
EFFECTS = frozenset(
    """
    anyio asyncio concurrent fastapi http httptools httpx httpx2 io logging multiprocessing os pathlib prometheus_client
    random redis requests secrets select selectors shutil signal socket sqlite3 ssl starlette subprocess tempfile
    tenacity threading time urllib.request uvicorn uvloop
    """.split()
)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"), path


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "gateway"


def imports(path: Path) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            if node.module == "gateway":
                for alias in node.names:
                    yield f"gateway.{alias.name}", node


def layer(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


MODULES = list(modules())


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[m for m, _ in MODULES])
def test_imports_point_downwards(module: str, path: Path) -> None:
    part = part_of(module)
    if part == "gateway":
        return
    for name, _ in imports(path):
        if not name.startswith("gateway.") or name == "gateway.__version__":
            continue
        target = part_of(name)
        if target == part or (part, target) in BESIDE:
            continue
        assert layer(target) < layer(part), f"{module} imports {name}: {part} may not look up or sideways to {target}"


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[m for m, _ in MODULES])
def test_pure_packages_do_no_io(module: str, path: Path) -> None:
    if part_of(module) not in PURE:
        return
    for name, _ in imports(path):
        assert name not in EFFECTS, f"{module} imports {name}, but {part_of(module)} is pure"
        assert name.split(".")[0] not in EFFECTS - {"urllib.request"}, f"{module} imports {name}"


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[m for m, _ in MODULES])
def test_no_import_hides_in_a_function(module: str, path: Path) -> None:
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not hidden, f"{module}:{hidden[0].lineno} imports inside {function.name}"


def test_every_module_says_what_it_is() -> None:
    for module, path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{module} has no docstring"


def test_the_parts_named_here_are_the_standard_library_or_ours() -> None:
    assert "asyncio" in sys.stdlib_module_names
    known = frozenset().union(*LAYERS)
    for module, _ in MODULES:
        assert part_of(module) in known | {"gateway"}, f"{module} belongs to no layer"
