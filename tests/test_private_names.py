"""Tests reach the product by its public names: what is private may change without them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

FILES = sorted((REPOSITORY / "tests").rglob("*.py"))
#: Private names of libraries that have no public one for it.
FOREIGN = {"_actions", "_SubParsersAction", "_NamedFuncPointer", "_exit"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in FOREIGN


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names that are not the test's own: attributes of others, imports from us, and names that are patched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "tests")):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("ellopt", "tests"):
            yield from ((node.lineno, alias.name) for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "attr" in node.func.attr:
            for word in (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)):
                if private(word.rpartition(".")[2]):
                    yield node.lineno, word


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY / "tests")))
def test_no_private_name_is_used(path: Path) -> None:
    found = list(uses(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{path}: {found}"
