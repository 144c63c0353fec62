"""How a native bundle comes to be: generated, compiled, linked, and put in its place at once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.codegen.emit import Packed, Variant, emit_network, site_of
from ellopt.codegen.network import ConvolutionStep, Network, Step
from ellopt.codegen.sources import C_FOLDERS, c_text, runtime_for
from ellopt.codegen.version import GENERATOR_VERSION
from ellopt.codegen.weights import WeightFile
from ellopt.core.deadline import Deadline
from ellopt.core.options import ConvolutionOptions
from ellopt.files.sealed import is_whole, publish
from ellopt.model.check_data import check_inputs
from ellopt.model.graph import Model
from ellopt.model.rounding import rounding_limits
from ellopt.targets import Target
from ellopt.toolchains.base import Ahead, kept_back
from ellopt.toolchains.native.bundle import LayerManifest, Manifest, StepManifest, canonical_at, digest_of
from ellopt.toolchains.object_cache import object_cache
from ellopt.toolchains.zig import Compiler, cpu_of, zig_version

RUNNER = "runner"
WEIGHTS = "weights.bin"
REFERENCE = "reference.bin"
_ABANDONED_SECONDS = 86400


@dataclass(frozen=True, eq=False)
class BuildRequest:
    """What a bundle must be able to do: ``wanted`` are the options of each layer, canonical ones among them.
    ``packed``: weights that other bundles of the network have."""

    model: Model
    network: Network
    wanted: Mapping[str, frozenset[ConvolutionOptions]]
    target: Target
    parallel: int = 0
    packed: Packed = field(default_factory=Packed)

    @property
    def key(self) -> str:
        """A hash over all that decides what the bundle holds."""
        digest = hashlib.sha256()
        facts = (generator_version(), repr(self.target), repr(cpu_of(self.target)))
        for text in (*facts, *(node.node_id + node.type_name for node in self.model.nodes)):
            digest.update(text.encode() + b"\0")
        for step in self.network.steps:
            for name, value in vars(step).items():
                digest.update(f"{name}=".encode())
                digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        for name, tensor in self.network.tensors.items():
            digest.update(f"{name} {tensor!r}".encode())
        for values in self.network.constants.values():
            digest.update(values.tobytes())
        for node_id, options in sorted(self.wanted.items()):
            digest.update(f"{node_id} {sorted(map(str, options))}".encode())
        return digest.hexdigest()[:24]


def build_bundle(
    request: BuildRequest, directory: Path, deadline: Deadline, ahead: Ahead = kept_back
) -> tuple[Path, Manifest]:
    """The bundle below ``directory``; built unless it is there already. ``ahead`` gets its data while compilers work.
    Raises BuildError, DeadlineExceeded."""
    path = directory / f"native-{request.target.name}-{request.key}"
    manifest = Manifest.read(path) if is_whole(path) else None
    if manifest is None:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(directory)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".build-", ignore_cleanup_errors=True) as name:
            made = Path(name) / "bundle"
            made.mkdir()  # as the umask has it: the temporary directory is nobody's but ours
            manifest = _build(request, made, object_cache(directory / "objects"), deadline, ahead)
            publish(made, path)
    return path, manifest


def generator_version() -> str:
    """The versions of the generator and of the compiler."""
    return f"{GENERATOR_VERSION} zig {zig_version()}"


def _build(request: BuildRequest, directory: Path, cache: Path, deadline: Deadline, ahead: Ahead) -> Manifest:
    """Fill ``directory`` with the bundle's files."""
    model, network, wanted, target = request.model, request.network, request.wanted, request.target
    layers: list[LayerManifest] = []
    variants: list[list[Variant]] = []
    for step in network.convolutions:
        site = site_of(network, step, cpu_of(target), target.cores)
        row = kernels_of(step, site, wanted[step.reported_id])
        variants.append(list(row.values()))
        layers.append(LayerManifest(step.reported_id, step.shape, site, tuple(row), wanted[step.reported_id]))
    compiler = Compiler(target, C_FOLDERS, cache, request.parallel)
    sources = {"runner.c": c_text("runner.c")}
    sources |= {v.function: v.kernel.source(v.function) for row in variants for v in row}
    called = " ".join(step.function for step in network.steps)
    sources |= {name: c_text(name) for name in runtime_for((called, *sources.values()))}
    late: dict[str, str] = {}

    def describe() -> None:
        with (directory / WEIGHTS).open("wb") as stream:
            late["network.c"] = emit_network(network, variants, WeightFile(stream), request.packed)
        ahead(directory / WEIGHTS)
        _write_check(model, network, directory)
        ahead(directory / REFERENCE)

    objects = compiler.objects(sources, deadline, meanwhile=describe)
    late |= {name: c_text(name) for name in runtime_for(late.values()) if name not in sources}
    objects |= compiler.objects(late, deadline)
    compiler.link(objects.values(), directory / RUNNER, deadline)
    files = (RUNNER, WEIGHTS, "check_input.bin", REFERENCE, "limits.bin")
    source, result = network.tensors[network.input_name], network.tensors[network.output_name]
    order = [step.reported_id for step in network.convolutions]
    manifest = Manifest(
        digest=digest_of(directory, files),
        files=files,
        target=target.name,
        threads=target.cores,
        code_bytes=(directory / RUNNER).stat().st_size,
        layers=tuple(layers),
        steps=tuple(
            StepManifest(s.reported_id, s.type_name, order.index(s.reported_id) if s.kind == "convolution" else -1)
            for s in network.steps
        ),
        order=tuple(node.node_id for node in model.convolutions),
        input_shape=(source.rows, source.columns, source.channels),
        output_shape=(result.rows, result.columns, result.channels),
    )
    manifest.write(directory)
    return manifest


def kernels_of(step: ConvolutionStep, site: KernelSite, wanted: Iterable[ConvolutionOptions]) -> dict[str, Variant]:
    """The kernels that the wanted options need, by identity. One that serves several depths has room for each."""
    best = {canonical_at(site, step.shape, options) for options in wanted}
    found: dict[str, Variant] = {}
    for options in sorted(o for o in best if o is not None):
        kernel = kernel_for(site, options)
        identity = Variant(kernel).identity
        known = found.get(identity)
        if known is not None:
            shared = max(kernel.shared_floats, known.kernel.shared_floats)
            each = max(kernel.thread_floats, known.kernel.thread_floats)
            kernel = replace(kernel, shared_floats=shared, thread_floats=each)
        found[identity] = Variant(kernel)
    return found


def _remove_abandoned(directory: Path) -> None:
    """Remove what killed builds left, a day later."""
    for path in directory.glob(".build-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _write_check(model: Model, network: Network, directory: Path) -> None:
    """The input that every plan is checked with, what each step must make of what the reference hands it, and by how
    much each output channel may be off: what float32 may be off at the channel's worst pixel."""
    values, [buffers] = check_inputs(model)
    (directory / "check_input.bin").write_bytes(values.astype("<f4").tobytes())
    with (directory / REFERENCE).open("wb") as expected, (directory / "limits.bin").open("wb") as limits:
        for step in network.steps:
            if not step_is_checked(network, step):
                continue
            nodes = [model.by_id[node_id] for node_id in step.node_ids]
            if step.kind == "copy":
                nodes = [model.output]
            tensor = network.tensors[step.output]
            shape = (tensor.rows, tensor.columns, tensor.channels)
            found = nodes[-1].output_layout.view(buffers[nodes[-1].node_id]).reshape(shape)
            allowed = rounding_limits(nodes, buffers).reshape(shape)
            allowed = np.where(np.isfinite(found), allowed, np.inf).max(axis=(0, 1))
            expected.write(np.ascontiguousarray(found, "<f4").tobytes())
            limits.write(np.ascontiguousarray(allowed, "<f4").tobytes())


def step_is_checked(network: Network, step: Step) -> bool:
    """Copies only move values to where another step reads them: there a wrong one shows. The runner knows the same
    rule."""
    return step.kind != "copy" or step.output == network.output_name
