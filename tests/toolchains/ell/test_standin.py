"""The stand-ins behave as ELL's tools were seen to behave."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ellopt.frontends.ell.archive import read_archive

TINY_OPTIONS = {
    "1034": ("winograd", "false", 2, 4, 8),
    "1038": ("simple", "false"),
    "1041": ("unrolled", "true"),
}
NAMES = (
    "preferredConvolutionMethod",
    "parallelize",
    "separableBlockDepth",
    "nonseparableFilterBlockDepth",
    "nonseparableChannelDepth",
)


def call(root: Path, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(root / "bin" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def node_options() -> list[str]:
    return [
        text
        for node_id, values in TINY_OPTIONS.items()
        for name, value in zip(NAMES, values, strict=False)
        for text in ("--nodeOption", f"{node_id},{name},{value}")
    ]


def test_print_shows_what_ells_print_shows(ell_build_root: Path, shared_models: Path, shared_samples: Path) -> None:
    done = call(
        ell_build_root, "print", "-imap", shared_models / "cnn64.ell", "--nodeDetails", "false", "--includeNodeId"
    )
    assert done.returncode == 0
    assert done.stdout == (shared_samples / "cnn64_print_ids.txt").read_text()


def metadata(node: dict[str, Any]) -> dict[str, Any]:
    """A node's metadata without the order of its lists."""

    def value(variant: dict[str, Any]) -> Any:
        if variant["type"] == "PropertyBag":
            return {entry["k"]: value(entry["v"]) for entry in variant["value"]["data"]}
        return variant["value"]

    return {entry["k"]: value(entry["v"]) for entry in node.get("metadata", {}).get("data", ())}


def test_options_are_written_into_the_map_as_ell_writes_them(
    ell_build_root: Path, shared_models: Path, shared_samples: Path, tmp_path: Path
) -> None:
    arguments = ["-imap", shared_models / "tiny16.ell", "--outputDirectory", tmp_path, "--outputFilenameBase", "b"]
    done = call(ell_build_root, "compile", *arguments, "--target", "host", "--mapWithOptions", *node_options())
    assert done.returncode == 0, done.stderr
    wrote = read_archive(tmp_path / "b_options.ell")
    sample = read_archive(shared_samples / "tiny16_options.ell")
    assert [node["_type"] for node in wrote.nodes] == [node["_type"] for node in sample.nodes]
    assert [metadata(node) for node in wrote.nodes] == [metadata(node) for node in sample.nodes]
    before = {node["id"] for node in read_archive(shared_models / "tiny16.ell").nodes}
    assert not before & {node["id"] for node in wrote.nodes}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--nodeOption", "77,preferredConvolutionMethod,simple"], 0),  # an unknown node is ignored
        (["--convolutionMethod", "fast"], 1),
        (["--nodeOption", "1034,simple"], -6),
        (["--modelOption", "simple"], -6),
    ],
)
def test_wrong_options_fail_as_ells_compile_fails(
    ell_build_root: Path, shared_models: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    done = call(
        ell_build_root, "compile", "-imap", shared_models / "tiny16.ell", "--outputDirectory", tmp_path, *arguments
    )
    assert done.returncode == code


def test_only_options_renumber_the_nodes(ell_build_root: Path, shared_models: Path, tmp_path: Path) -> None:
    model = shared_models / "tiny16.ell"
    arguments = ["-imap", model, "--outputDirectory", tmp_path, "--outputFilenameBase", "b", "--mapWithOptions"]
    assert call(ell_build_root, "compile", *arguments).returncode == 0
    written = json.loads((tmp_path / "b_options.ell").read_text())
    assert [n["id"] for n in written["model"]["nodes"]] == [n["id"] for n in read_archive(model).nodes]


@pytest.mark.skipif(bool(os.environ.get("ELL_BUILD_ROOT")), reason="ELL_BUILD_ROOT is set: no stand-in")
def test_a_predictor_node_has_no_convolutions_to_show(standin_root: Path, shared_models: Path) -> None:
    done = call(standin_root, "print", "-imap", shared_models / "dk64.ell", "--includeNodeId")
    assert "NeuralNetworkPredictorNode" in done.stdout
    assert "Convolution" not in done.stdout
