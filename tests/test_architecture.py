"""Which part may know which: dependencies point downwards only, and each large library has one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ellopt"

#: From the bottom up. A module may import from its own layer and from those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "files",
        "deadline",
        "methods",
        "options",
        "shapes",
        "targets",
        "settling",
        "tuning_report",
        "environment",
    ),
    ("model", "measurement", "turns", "config"),
    ("codegen", "space", "space_bounds", "toolchains", "devices"),
    ("option_files", "observations", "observation_log", "procedure", "profile", "profile_join"),
    ("board_probe", "bundles", "inspection", "run_limits", "laboratory_settings", "device_runs", "whole_model"),
    (
        "laboratory",
        "store",
        "deploy",
        "deploy_check",
        "deploy_library",
        "deploy_identifier",
        "deploy_manifest",
        "deploy_cpu",
    ),
    ("search", "winners", "assemble", "report", "tracking", "logs", "from_reports", "pyfunc"),
    ("progress", "tuning", "doctor"),
    ("pipeline",),
    ("commands", "termination", "cli", "__main__", "__init__"),
)

#: The only modules, or packages, that may import a library.
ALLOWED = {
    "paramiko": ("devices.ssh",),
    "requests": ("devices.cluster",),
    "mlflow": ("tracking", "pyfunc"),
    "optuna": ("search",),
}


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


def level(module: str) -> int:
    head = module.split(".")[0]
    for number, names in enumerate(LAYERS):
        if head in names:
            return number
    raise AssertionError(f"ellopt.{module} is in no layer: say where it belongs in {Path(__file__).name}")


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_from_below(path: Path) -> None:
    own = level(module_name(path))
    for imported in imports(path):
        head, _, rest = imported.partition(".")
        if (
            head == "ellopt"
            and rest
            and (PACKAGE / rest.split(".")[0]).with_suffix(".py").exists() | (PACKAGE / rest.split(".")[0]).is_dir()
        ):
            assert level(rest) <= own, f"{module_name(path)} imports {imported}, which is above it"


@pytest.mark.parametrize("library", ALLOWED)
def test_a_large_library_has_one_place(library: str) -> None:
    users = {module_name(path) for path in MODULES for name in imports(path) if name.split(".")[0] == library}
    strangers = {user for user in users if not user.startswith(ALLOWED[library])}
    assert users, f"nothing uses {library}"
    assert not strangers


def test_only_what_is_started_by_itself_prints_or_exits() -> None:
    for path in MODULES:
        name = module_name(path)
        if name.startswith(("cli", "commands", "__main__", "logs", "tracking.writer")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "quit"), f"{name}:{node.lineno} calls {called}"
