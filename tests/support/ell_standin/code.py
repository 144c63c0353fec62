"""The code that the stand-in makes of a model: our own kernels behind the interface of ELL's compiled models."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.network import ConvolutionStep, Network
from ellopt.codegen.sources import C_FOLDERS, RUNTIME, c_text
from ellopt.codegen.weights import WeightFile
from ellopt.core.deadline import Deadline
from ellopt.core.methods import find_method
from ellopt.core.options import ELL_DEFAULT, ELL_DEFAULT_DEPTHS, ELL_DEPTH_NAMES, ConvolutionOptions
from ellopt.model.graph import Model
from ellopt.targets import Target
from ellopt.toolchains.zig import Compiler, cpu_of, target_flags, zig_command

_SHIM = (Path(__file__).parent / "shim.c").read_text(encoding="utf-8")
_HEADER = (Path(__file__).parent / "header.h").read_text(encoding="utf-8")
#: how wrong ELL's winograd is on depthwise layers
WRONG = 0.1


def node_options(values: Mapping[str, str], step: ConvolutionStep) -> ConvolutionOptions:
    """A node's options as ELL understands them: winograd where it does not apply falls back silently."""
    parallelize = values.get("parallelize") == "true"
    method = values.get("preferredConvolutionMethod", "auto")
    if method not in ("simple", "winograd") or (
        method == "winograd" and not find_method("winograd").ell_canonical(step.shape, ConvolutionOptions("winograd"))
    ):
        return ConvolutionOptions("simple" if method == "simple" else "unrolled", parallelize)
    if method == "simple":
        return ConvolutionOptions("simple", parallelize)
    depths: dict[str, Any] = {n: int(values.get(ell, ELL_DEFAULT_DEPTHS[n])) for n, ell in ELL_DEPTH_NAMES.items()}
    return ConvolutionOptions("winograd", parallelize, **depths)


def compiled_nodes(network: Network, options: Mapping[str, ConvolutionOptions]) -> list[tuple[str, str, int, float]]:
    """Type, ancestor, step and share of the step's time, of every node of the refined graph."""
    rows: list[tuple[str, str, int, float]] = []
    for index, step in enumerate(network.steps):
        first, *others = step.node_ids
        if isinstance(step, ConvolutionStep):
            rows += [(f"{kind}<float>", first, index, share) for kind, share in _refined(step, options[first])]
        else:
            rows.append((step.type_name, first, index, 1.0))
        for node_id in others:  # a very small time may be negative
            rows.append(("ConstantNode<float>", node_id, index, 0.0))
            rows.append(("BroadcastLinearFunctionNode<float>", node_id, index, -1e-5))
    return rows


def _refined(step: ConvolutionStep, options: ConvolutionOptions) -> list[tuple[str, float]]:
    if options.method == "simple":
        return [("SpatialConvolutionNode" if step.shape.depthwise else "SimpleConvolutionComputeNode", 1.0)]
    if options.method == "winograd":
        return [("ConstantNode", 0.0), ("WinogradConvolutionComputeNode", 1.0)]
    if step.shape.depthwise:
        return [("UnrolledConvolutionNode", 1.0)]
    return [("ReorderDataCodeNode", 0.05), ("ReceptiveFieldMatrixNode", 0.2), ("MatrixMatrixMultiplyNode", 0.75)]


def header(profiled: bool) -> str:
    parts = _HEADER.split("/*PROFILE*/\n")  # every second one is for code with profiling
    return "".join(part for i, part in enumerate(parts) if profiled or i % 2 == 0)


def make_object(
    model: Model,
    ancestors: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]],
    target: Target,
    threads: int,
    profiled: bool,
    first_id: int,
    cache: Path,
) -> bytes:
    """A relocatable object of the whole model. ``values``: node id -> options by name."""
    network = lower(model)
    options = {step.reported_id: node_options(values[step.reported_id], step) for step in network.convolutions}
    variants, choices = [], []
    for step in network.convolutions:
        wanted = options[step.reported_id]
        best = canonical(step.shape, wanted, cpu_of(target), target.cores) or ELL_DEFAULT
        variant = Variant(kernel_for(site_of(network, step, cpu_of(target), target.cores), best))
        variants.append([variant])
        depths = ", ".join(map(str, variant.kernel.depths))
        choices.append(f"{{0, {int(wanted.parallelize)}, {depths}}}")
    wrong = [
        i for i, s in enumerate(network.steps)
        if isinstance(s, ConvolutionStep) and s.shape.depthwise and options[s.reported_id].method == "winograd"
    ]  # fmt: skip
    weights = io.BytesIO()
    table = emit_network(network, variants, WeightFile(weights))
    nodes = [
        f'{{"{first_id + i}", "{kind}", "{ancestors.get(node_id, node_id)}", {step}, {share!r}}}'
        for i, (kind, node_id, step, share) in enumerate(compiled_nodes(network, options))
    ]
    source, result = network.tensors[network.input_name], network.tensors[network.output_name]
    facts = {
        "CHOICES": ", ".join(choices),
        "NODES": ",\n    ".join(nodes),
        "STEPS": str(len(network.steps)),
        "WRONG_STEPS": ", ".join([*map(str, wrong), "-1"]),
        "WRONG": repr(WRONG),
        "THREADS": str(threads if any(o.parallelize for o in options.values()) else 1),
        "PROFILED": str(int(profiled)),
        "INPUT": f"{source.rows}, {source.columns}, {source.channels}",
        "OUTPUT": f"{result.rows}, {result.columns}, {result.channels}",
    }
    shim = _SHIM
    for key, text in facts.items():
        shim = shim.replace(f"@{key}@", text)
    sources = {name: c_text(name) for name in RUNTIME}
    sources |= {row[0].function: row[0].kernel.source(row[0].function) for row in variants}
    deadline = Deadline.after(600)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "weights.bin").write_bytes(weights.getvalue())
        objects = Compiler(target, C_FOLDERS, cache).objects(sources, deadline)
        flags = (f"--embed-dir={scratch}", "-Wno-c23-extensions")
        own = {"shim": table + header(profiled) + shim}
        objects |= Compiler(target, C_FOLDERS, scratch / "objects").objects(own, deadline, flags)
        command = [*zig_command(), "cc", *target_flags(target), "-r", *map(str, objects.values()), "-o", "whole.o"]
        subprocess.run(command, cwd=scratch, check=True, timeout=600)
        return (scratch / "whole.o").read_bytes()
