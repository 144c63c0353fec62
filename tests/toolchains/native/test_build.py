"""Bundles: built once, found again, whole or not there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, DeadlineExceeded
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.files.sealed import SEAL
from ellopt.model.graph import Model
from ellopt.targets import Target, find_target
from ellopt.toolchains import zig
from ellopt.toolchains.native.bundle import MANIFEST, digest_of
from ellopt.toolchains.native.toolchain import NativeToolchain


def test_the_same_request_compiles_nothing(
    tiny: Model,
    tiny_plans: tuple[Plan, ...],
    host: Target,
    tiny_bundle: Bundle,
    build_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a compiler was started")

    monkeypatch.setattr(zig, "run_in_group", refuse)
    again = NativeToolchain().build(tiny, tiny_plans[::-1], host, build_directory, Deadline.after(60))
    assert again == tiny_bundle


def test_the_digest_is_that_of_the_files(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.digest == digest_of(tiny_bundle.path, tiny_bundle.files)
    assert set(tiny_bundle.files) | {MANIFEST, SEAL} == set(os.listdir(tiny_bundle.path))
    assert tiny_bundle.code_bytes > 0


def test_the_bundle_runs_what_was_asked_and_its_canonical_form(
    toolchain: NativeToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], tiny_bundle: Bundle, host: Target
) -> None:
    for plan in tiny_plans:
        assert tiny_bundle.runs(plan)
    shapes = {layer.node_id: layer.shape for layer in toolchain.layers(tiny)}
    for node_id, options in tiny_plans[2].items():
        best = toolchain.canonical(shapes[node_id], options, host)
        assert best in tiny_bundle.choices[node_id]


def test_an_unfinished_bundle_is_built_again(
    toolchain: NativeToolchain,
    tiny: Model,
    tiny_plans: tuple[Plan, ...],
    host: Target,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was lost or changed of it, and of the objects that it is linked from."""
    monkeypatch.setenv("ELLOPT_CACHE", str(tmp_path))
    bundle = toolchain.build(tiny, tiny_plans[:1], host, tmp_path, Deadline.after(300))
    sound = {name: (bundle.path / name).read_bytes() for name in os.listdir(bundle.path)}
    objects = sorted(path.name for path in (tmp_path / "objects").iterdir())
    for path, spoil in itertools.product([bundle.path / name for name in sound], (removed, emptied, changed)):
        spoil(path)
        spoil(tmp_path / "objects" / objects[0])
        assert toolchain.build(tiny, tiny_plans[:1], host, tmp_path, Deadline.after(300)) == bundle
        assert {name: (bundle.path / name).read_bytes() for name in os.listdir(bundle.path)} == sound
        assert sorted(path.name for path in (tmp_path / "objects").iterdir()) == objects
    assert {p.name for p in tmp_path.iterdir()} == {bundle.path.name, "objects"}


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_plans_share_is_stored_once(
    toolchain: NativeToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    """Parallel or not, and other block depths, are the same code and weights."""
    ids = list(tiny_plans[0])
    one = toolchain.build(
        tiny, [Plan.uniform(ids, ConvolutionOptions("unrolled"))], host, tmp_path, Deadline.after(300)
    )
    both = [Plan.uniform(ids, ConvolutionOptions("unrolled", parallel)) for parallel in (False, True)]
    two = toolchain.build(tiny, both, host, tmp_path, Deadline.after(300))
    for name in ("runner", "weights.bin"):
        assert (one.path / name).stat().st_size == (two.path / name).stat().st_size


def test_what_one_bundle_packed_is_the_same_in_the_next(
    tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    toolchain = NativeToolchain()
    for count in (1, 2, 3):
        grown = toolchain.build(tiny, tiny_plans[:count], host, tmp_path, Deadline.after(300))
    assert grown.digest == tiny_bundle.digest


def test_options_that_a_layer_cannot_have_do_not_build(
    toolchain: NativeToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    pointwise = list(tiny_plans[0])[2]
    plan = tiny_plans[0].with_(pointwise, ConvolutionOptions("winograd"))
    with pytest.raises(BuildError, match=pointwise):
        toolchain.build(tiny, [plan], host, tmp_path, Deadline.after(60))


def test_a_deadline_ends_the_compilers_and_leaves_nothing(
    toolchain: NativeToolchain, tiny: Model, tiny_plans: tuple[Plan, ...], host: Target, tmp_path: Path
) -> None:
    with pytest.raises(DeadlineExceeded):
        toolchain.build(tiny, tiny_plans, host, tmp_path, Deadline.after(0.02))
    assert list(tmp_path.iterdir()) == []


def test_the_compilers_output_is_kept(host: Target, tmp_path: Path) -> None:
    compiler = zig.Compiler(host, (tmp_path,), tmp_path / "cache")
    with pytest.raises(BuildError, match="unknown_function") as raised:
        compiler.objects({"bad": "int f(void) { return unknown_function(); }\n"}, Deadline.after(60))
    assert "unknown_function" in raised.value.log
    assert list((tmp_path / "cache").iterdir()) == []


def test_layers_are_those_of_the_model_in_its_order(toolchain: NativeToolchain, tiny: Model) -> None:
    found = toolchain.layers(tiny)
    assert [layer.node_id for layer in found] == [node.node_id for node in tiny.convolutions]
    assert [layer.shape.epilogue for layer in found] == ["bias relu"] * 3
    assert str(found[0].shape) == "3x3/1 16x16x3 -> 16x16x4"


@pytest.mark.parametrize("name", ["pi0", "pi3", "pi3_64"])
def test_the_c_compiles_for_boards(
    name: str,
    toolchain: NativeToolchain,
    tiny: Model,
    tiny_plans: tuple[Plan, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Programs for boards are linked and run in the tests of emulated devices; here their objects are looked at."""
    objects: list[Path] = []

    def link(self: zig.Compiler, found: Iterable[Path], output: Path, *_: object) -> None:
        objects.extend(found)
        output.touch()

    monkeypatch.setattr(zig.Compiler, "link", link)
    toolchain.build(tiny, tiny_plans, find_target(name), tmp_path, Deadline.after(300))
    for path in objects:
        header = path.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert header[18] == (183 if name == "pi3_64" else 40)  # EM_AARCH64, EM_ARM
