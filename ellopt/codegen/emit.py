"""The C tables of a network: no weights, only sizes, offsets and the functions to call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ellopt.codegen.bands import band_rows, padded_floats, padded_row, turns
from ellopt.codegen.convolution.kernel import Kernel, KernelSite
from ellopt.codegen.convolution.packing import FloatArray
from ellopt.codegen.halves import may_be_half
from ellopt.codegen.network import ConvolutionStep, CopyStep, Network, Step, Tensor, c_float
from ellopt.codegen.steps.general import GeneralStep
from ellopt.codegen.weights import WeightFile
from ellopt.targets import Cpu

_BIAS_MULTIPLE = 64  # floats: kernels read whole vectors of biases
_KEPT_BYTES = 128 << 20


@dataclass(frozen=True)
class Variant:
    """One kernel of a layer, with its packed weights. ``identity`` says when two are the same."""

    kernel: Kernel

    @property
    def function(self) -> str:
        return "conv_" + hashlib.sha256(self.kernel.source("x").encode()).hexdigest()[:20]

    @property
    def identity(self) -> str:
        return f"{self.function} {self.kernel.packing!r}"


def site_of(network: Network, step: ConvolutionStep, cpu: Cpu, cores: int) -> KernelSite:
    """Where a convolution's kernel works: its sizes, of a band of rows, and the strides of the tensors it touches."""
    source, result = network.tensors[step.inputs[0]], network.tensors[step.output]
    residual = network.tensors[step.inputs[1]] if step.residual else None
    rows = band_rows(network, step, cpu, cores)
    return KernelSite(
        out_rows=rows,
        out_columns=result.columns,
        channels=step.shape.channels // step.shape.groups,
        filters=step.shape.filters // step.shape.groups,
        field=step.shape.receptive_field,
        stride=step.shape.stride,
        depthwise=step.shape.depthwise,
        in_row_stride=padded_row(step, source) if step.pads_input else source.row_stride,
        in_pixel_stride=source.channels if step.pads_input else source.pixel_stride,
        out_row_stride=result.row_stride,
        out_pixel_stride=result.pixel_stride,
        activation=step.activation,
        leaky_factor=step.leaky_factor,
        residual=step.residual,
        residual_last=step.residual_last,
        residual_row_stride=residual.row_stride if residual else 0,
        residual_pixel_stride=residual.pixel_stride if residual else 0,
        cpu=cpu,
        cores=cores,
        beta=step.beta,
        field_columns=step.shape.field_columns,
        column_stride=step.shape.column_stride,
        row_dilation=step.shape.row_dilation,
        column_dilation=step.shape.column_dilation,
        groups=step.shape.groups,
        padded_floats=padded_floats(step, source, rows),
    )


class Packed:
    """Weights as kernels read them: what one bundle of a network packed, the next need not. Keeps so many bytes."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._found: dict[tuple[str, str], FloatArray] = {}
        self._left = most_bytes

    def of(self, step: ConvolutionStep, kernel: Kernel) -> FloatArray:
        key = (step.reported_id, repr(kernel.packing))
        found = self._found.get(key)
        if found is None:
            found = kernel.pack(step.weights)
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                self._found[key] = found
        return found


def emit_network(
    network: Network, variants: Sequence[Sequence[Variant]], weights: WeightFile, packed: Packed | None = None
) -> str:
    """The text of network.c. ``variants`` has those of each convolution, in the network's order.

    All weights are written to ``weights`` on the way. ``packed``: what earlier bundles of this network packed.
    """
    return _Emitter(network, weights, packed or Packed(0)).text(variants)


class _Emitter:
    def __init__(self, network: Network, weights: WeightFile, packed: Packed) -> None:
        self._network = network
        self._weights = weights
        self._packed = packed
        self._index: Mapping[str, int] = {name: i for i, name in enumerate(network.tensors)}
        self._may_be_half = may_be_half(network)
        self._copies: list[str] = []
        self._rows: Mapping[int, int] = {}
        self._numbers: list[int] = []

    def text(self, variants: Sequence[Sequence[Variant]]) -> str:
        network = self._network
        layer_rows, variant_rows = self._layers(variants)
        tensor_rows = [self._tensor(tensor) for tensor in network.tensors.values()]
        self._rows = {id(s): row[0].kernel.rows for s, row in zip(network.convolutions, variants, strict=True)}
        convolutions = {id(step): i for i, step in enumerate(network.convolutions)}
        step_rows = [self._step(step, convolutions.get(id(step), -1)) for step in network.steps]
        places = {i: self._rows[id(step)] for i, step in enumerate(network.steps) if id(step) in self._rows}
        turn_rows = [f"{{{step}, {band}}}" for step, band in turns(network, places)]
        functions = sorted({variant.function for row in variants for variant in row})
        parts = ['#include "ellopt_network.h"\n']
        parts += [f"void {function}(const ell_conv_args *);" for function in functions]
        layers = sorted({name for step in network.steps for name in (step.function, step.half_function)} - {""})
        parts += [f"void {function}(ell_pool *, const ell_layer_args *);" for function in layers]
        parts.append(_table("ell_tensor", "tensors", tensor_rows))
        parts.append(_table("ell_copy", "copies", self._copies))
        parts.append(_table("int32_t", "numbers", [", ".join(map(str, self._numbers))] if self._numbers else ()))
        parts.append(_table("ell_step", "steps", step_rows))
        parts.append(_table("ell_turn", "turns", turn_rows))
        parts.append(_table("ell_variant", "variants", variant_rows))
        parts.append(_table("ell_layer", "layers", layer_rows))
        parts.append(
            "const ell_network ell_the_network = {\n"
            f"    {len(step_rows)}, {len(layer_rows)}, {len(tensor_rows)}, {len(variant_rows)}, {len(turn_rows)},\n"
            "    steps, layers, tensors, variants, turns,\n"
            f"    {network.arena_floats}u, {self._weights.floats}u,\n"
            f"    {self._index[network.input_name]}, {self._index[network.output_name]},\n"
            "};\n"
        )
        return "\n".join(parts)

    def _layers(self, variants: Sequence[Sequence[Variant]]) -> tuple[list[str], list[str]]:
        layer_rows: list[str] = []
        variant_rows: list[str] = []
        for step, row in zip(self._network.convolutions, variants, strict=True):
            # Kernels of groups read whole vectors from the first bias of each group on.
            more = _BIAS_MULTIPLE if step.shape.groups > 1 else 0
            bias = self._weights.add(np.pad(step.bias, (0, more)), _BIAS_MULTIPLE)
            layer_rows.append(f"{{{len(variant_rows)}, {len(row)}, {bias}u}}")
            for variant in row:
                kernel = variant.kernel
                packed = self._weights.add(self._packed.of(step, kernel))
                variant_rows.append(
                    f"{{{variant.function}, {packed}u, {kernel.shared_floats}u, {kernel.thread_floats}u, "
                    f"{int(kernel.half)}}}"
                )
        return layer_rows, variant_rows

    def _tensor(self, t: Tensor) -> str:
        offset = t.offset
        if t.place == "weights":
            offset = t.origin + self._weights.add(self._network.constants[t.name])
        b = t.border
        return (
            f"{{ELL_{t.place.upper()}, {offset}u, {t.rows}, {t.columns}, {t.channels}, {t.row_stride}, "
            f"{t.pixel_stride}, {b.top}, {b.left}, {b.bottom}, {b.right}, {c_float(b.fill)}, "
            f"{int(t.name in self._may_be_half)}, {self._index[t.buffer] if t.slice else -1}, "
            f"{t.slice.start if t.slice else 0}u}}"
        )

    def _step(self, step: Step, convolution: int) -> str:
        fields: dict[str, str | int] = {
            "run": step.function or 0,
            **({"run_halves": f"ELL_WITH_HALVES({step.half_function})"} if step.half_function else {}),
            "activation": f"ELL_ACTIVATION_{step.activation.upper()}",
            "leaky_factor": c_float(step.leaky_factor),
            **({"beta": c_float(step.beta)} if step.beta else {}),
            "input": self._index[step.inputs[0]],
            "second": self._index[step.inputs[1]] if len(step.inputs) > 1 else -1,
            "output": self._index[step.output],
            "convolution": convolution,
            "weights": "ELL_NONE",
            "shift": "ELL_NONE",
            "alpha": "ELL_NONE",
        }
        fields |= step.fields(self._weights)
        if isinstance(step, ConvolutionStep):
            rows = self._rows[id(step)]
            padded = padded_floats(step, self._network.tensors[step.inputs[0]], rows)
            fields |= {"rows": rows, "padded": f"{padded}u"}
        if isinstance(step, GeneralStep):
            fields["numbers"] = f"numbers + {len(self._numbers)}"
            self._numbers += step.with_tensors([self._index[name] for name in step.inputs])
        if isinstance(step, CopyStep):
            fields["copy"] = f"&copies[{len(self._copies)}]"
            self._copies.append(self._copy(step))
        return "{" + ", ".join(f".{key} = {value}" for key, value in fields.items()) + "}"

    def _copy(self, step: CopyStep) -> str:
        source, result = self._network.tensors[step.inputs[0]], self._network.tensors[step.output]
        read = step.input_strides or (source.row_stride, source.pixel_stride, 1)
        written = step.output_strides or (result.row_stride, result.pixel_stride, 1)
        numbers = (*step.size, *read, step.input_offset, *written, step.output_offset)
        clear = f"{int(step.clear is not None)}, {result.floats}u, {c_float(step.clear or 0.0)}"
        return "{" + ", ".join(map(str, numbers)) + f", {clear}}}"


def _table(type_name: str, name: str, rows: Sequence[str]) -> str:
    lines = ",\n    ".join(rows or ["{0}"])
    return f"static const {type_name} {name}[] = {{\n    {lines},\n}};\n"
