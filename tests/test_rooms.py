"""The rooms of the house stand in one order, and no module is long; each large library has one place, and only the
command line prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
PACKAGE = HOUSE / "ellopt"

#: From the ground up: a module imports from its own room and from those before it.
ROOMS = (
    "core", "files", "targets", "model", "frontends", "codegen", "estimate", "devices", "toolchains", "space",
    "measure", "search", "select", "report", "tracking", "deploy", "app", "cli",
)  # fmt: skip

#: The only modules, or rooms, that may import a library.
ALLOWED = {
    "paramiko": ("devices.ssh",),
    "requests": ("devices.cluster",),
    "mlflow": ("tracking", "deploy.pyfunc"),
    "optuna": ("search",),
    "distributed": ("measure.executors.dask",),
}
#: Lines of the longest module: one idea needs no more.
LONGEST = 350
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that is imported, also inside functions; not what only the type checker sees."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "ellopt":
                yield from (f"ellopt.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    return module.split(".")[0]


def test_the_house_has_no_other_rooms() -> None:
    assert {room(module_name(path)) for path in MODULES} <= set(ROOMS)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_from_those_below(name: str) -> None:
    below = ROOMS[: ROOMS.index(name) + 1]
    for path in MODULES:
        if room(module_name(path)) == name:
            for imported in imports(path):
                head, _, rest = imported.partition(".")
                if head == "ellopt" and room(rest) in ROOMS:
                    assert room(rest) in below, f"{module_name(path)} imports {imported}, which is above it"


def test_no_module_says_its_room_again() -> None:
    for path in MODULES:
        folder = path.parent.name
        assert path.stem == folder or not path.stem.startswith(f"{folder}_"), module_name(path)


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "ellopt", "tests"])
def test_no_module_is_long(folder: str) -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in (HOUSE / folder).rglob("*.py")}
    assert lines, f"{folder} has no modules"
    assert {str(path.relative_to(HOUSE)): count for path, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("library", ALLOWED)
def test_a_large_library_has_one_place(library: str) -> None:
    users = {module_name(path) for path in MODULES for name in imports(path) if name.split(".")[0] == library}
    assert users, f"nothing uses {library}"
    assert not {user for user in users if not user.startswith(ALLOWED[library])}


def test_only_what_is_started_by_itself_prints_or_exits() -> None:
    for path in MODULES:
        name = module_name(path)
        if name.startswith(("cli", "tracking.writer")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "quit"), f"{name}:{node.lineno} calls {called}"


def test_work_runs_in_threads_at_two_places_only() -> None:
    """What can travel goes through the executors, what only waits for programs and boards through ``fan_out``."""
    users = {module_name(path) for path in MODULES if "ThreadPoolExecutor" in path.read_text(encoding="utf-8")}
    assert users == {"core.fan_out", "measure.executors.threads"}


def test_plans_are_composed_in_one_place() -> None:
    """By what ``Plan`` and ``ModelSpace`` offer; nobody else puts layers and options together."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Plan":
                assert module_name(path) == "core.plan", f"{module_name(path)}:{node.lineno}"


def test_ells_toolchain_is_known_by_its_row_alone() -> None:
    users = {module_name(path) for path in MODULES if "toolchains.ell" in path.read_text(encoding="utf-8")}
    assert {user for user in users if not user.startswith("toolchains.ell")} == {"toolchains.registry"}
