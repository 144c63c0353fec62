"""Models made of nodes, and generated networks as functions of this process."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.codegen.convolution.base import kernel_for
from ellopt.codegen.convolution.gemm.neighbours import neighbours_of
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.network import Network, Step
from ellopt.codegen.sources import C_FOLDERS, RUNTIME, c_text
from ellopt.codegen.weights import WeightFile
from ellopt.core.deadline import Deadline
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.model import layers
from ellopt.model.graph import Model, NoFile
from ellopt.model.layers import MemoryLayout, Node
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.toolchains.zig import Compiler, cpu_of

FloatArray = npt.NDArray[np.float32]
#: behind every buffer, and there to stay
_GUARD = np.float32(-12345.678)
_BEHIND = 64


def packed(size: Sequence[int], padding: int = 0, order: tuple[int, int, int] = (0, 1, 2)) -> MemoryLayout:
    """A layout of ``size`` with ``padding`` around rows and columns."""
    rows, columns, channels = size
    extent = (rows + 2 * padding, columns + 2 * padding, channels)
    return MemoryLayout((rows, columns, channels), extent, (padding, padding, 0), order)


@dataclass
class ModelMaker:
    """Puts nodes together. Every method returns the id of the node that it added."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)

    def _add(
        self, kind: type[Node], sources: Sequence[str], written: MemoryLayout, value: float = 0, **rest: Any
    ) -> str:
        node_id = str(1000 + len(self.nodes))
        read = tuple(self.layout(source) for source in sources)
        self.nodes.append(kind(node_id, kind.__name__ + "Node", tuple(sources), read, written, value, **rest))
        return node_id

    def layout(self, node_id: str) -> MemoryLayout:
        return next(node.output_layout for node in self.nodes if node.node_id == node_id)

    def normal(self, *shape: int) -> FloatArray:
        return self.rng.normal(size=shape).astype(np.float32)

    def input(self, *size: int) -> str:
        return self._add(layers.Input, (), packed(size))

    def output(self, source: str) -> str:
        return self._add(layers.Output, (source,), self.layout(source))

    def reorder(
        self, source: str, padding: int = 0, value: float = 0.0, order: tuple[int, int, int] = (0, 1, 2)
    ) -> str:
        return self._add(layers.Reorder, (source,), packed(self.layout(source).size, padding, order), value)

    def reinterpret(self, source: str, written: MemoryLayout) -> str:
        return self._add(layers.Reinterpret, (source,), written)

    def constant(self, *size: int) -> str:
        return self._add(layers.Constant, (), packed(size), values=self.normal(int(np.prod(size))))

    def convolution(
        self, source: str, filters: int, size: int, stride: int = 1, depthwise: bool = False, **written: Any
    ) -> str:
        extent, channels = self.layout(source).extent, self.layout(source).size[2]
        out = [(n - size) // stride + 1 for n in extent[:2]]
        if depthwise:
            filters = channels
        depth = 1 if depthwise else channels
        weights = self.normal(filters, size, size, depth) / np.float32(np.sqrt(size * size * depth))
        layout, value = self._written((*out, filters), **written)
        return self._add(
            layers.Convolution, (source,), layout, value,
            receptive_field=size, stride=stride, depthwise=depthwise, weights=weights,
        )  # fmt: skip

    def affine(self, source: str, kind: str, **written: Any) -> str:
        channels = self.layout(source).size[2]
        layout, value = self._written(self.layout(source).size, **written)
        if kind == "bias":
            return self._add(layers.Bias, (source,), layout, value, bias=self.normal(channels))
        if kind == "scaling":
            return self._add(layers.Scaling, (source,), layout, value, scales=self.normal(channels))
        multiplication, addition = self.normal(channels), self.normal(channels)
        return self._add(
            layers.BatchNormalization, (source,), layout, value, multiplication=multiplication, addition=addition
        )

    def activation(self, source: str, function: str, **written: Any) -> str:
        layout, value = self._written(self.layout(source).size, **written)
        alpha = self.normal(*layout.size) if function == "parametric_relu" else None
        factor = 0.1 if function == "leaky_relu" else 0.0
        return self._add(
            layers.Activation, (source,), layout, value, function=function, leaky_factor=factor, alpha=alpha
        )

    def pooling(self, source: str, function: str, size: int, stride: int, **written: Any) -> str:
        read = self.layout(source)
        # Windows may reach beyond the border, but none starts there.
        out = [min(-(-(n - size) // stride) + 1, -(-n // stride)) for n in read.extent[:2]]
        layout, value = self._written((*out, read.size[2]), **written)
        return self._add(
            layers.Pooling, (source,), layout, value,
            function=function, pooling_size=size, stride=stride, padding=read.offset[0],
        )  # fmt: skip

    def binary(self, a: str, b: str, operation: str, **written: Any) -> str:
        layout, value = self._written(self.layout(a).size, **written)
        return self._add(layers.BinaryOperation, (a, b), layout, value, operation=operation)

    def fully_connected(self, source: str, outputs: int) -> str:
        inputs = int(np.prod(self.layout(source).size))
        weights = self.normal(outputs, inputs) / np.float32(np.sqrt(inputs))
        return self._add(layers.FullyConnected, (source,), packed((1, 1, outputs)), weights=weights)

    def softmax(self, source: str) -> str:
        return self._add(layers.Softmax, (source,), packed(self.layout(source).size))

    def model(self) -> Model:
        path = Path("random.ell")
        return Model(path, "random", tuple(self.nodes), Plan.of({}), NoFile())

    @staticmethod
    def _written(size: Sequence[int], padding: int = 0, value: float = 0.0) -> tuple[MemoryLayout, float]:
        return packed(size, padding), value


class Memory(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("input", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
    )


@dataclass
class CompiledNetwork:
    """A network in a shared library. ``step`` runs one step and returns the tensor that it wrote."""

    library: ctypes.CDLL
    symbol: str
    network: Network
    variants: Sequence[Variant]
    weights: FloatArray
    parallel: bool
    #: whether a convolution may be computed by other sums than those of its definition
    transformed: bool

    def start(self, values: FloatArray, threads: int = 1) -> None:
        """Set up memory in which every float that nobody has written is NaN."""
        workspace = max((v.kernel.workspace_floats(threads) for v in self.variants), default=0)
        output = self.network.tensors[self.network.output_name]
        self.arrays = {
            "weights": _aligned(self.weights),
            "arena": _guarded(self.network.arena_floats),
            "workspace": _guarded(workspace),
            "input": _aligned(values.reshape(-1)),
            "output": _guarded(output.elements),
        }
        create = self.library.ell_pool_create
        create.restype = ctypes.c_void_p
        self.pool = create(threads) if threads > 1 else None
        self.memory = Memory(*(a.ctypes.data for a in self.arrays.values()), self.pool)
        rows = [(0, int(self.parallel), *v.kernel.depths) for v in self.variants] or [(0,) * 5]
        self.choices = (ctypes.c_int * (5 * len(rows)))(*(n for row in rows for n in row))

    def step(self, index: int) -> FloatArray:
        net = ctypes.c_char.in_dll(self.library, self.symbol)
        half = (ctypes.c_ubyte * len(self.network.tensors))()
        self.library.ell_find_halves(ctypes.byref(net), self.choices, half)
        self.library.ell_run_step(
            ctypes.byref(net), ctypes.byref(self.memory), self.choices, half, ctypes.c_void_p(self.pool), index
        )
        return self._tensor(self.network.steps[index].output).copy()

    def read(self, step: Step) -> FloatArray:
        """All that a step's first input holds, its border not among it."""
        return self._tensor(step.inputs[0])

    def _tensor(self, name: str) -> FloatArray:
        tensor = self.network.tensors[name]
        place = self.arrays[tensor.place][tensor.offset :]
        shape = (tensor.rows, tensor.columns, tensor.channels)
        strides = (4 * tensor.row_stride, 4 * tensor.pixel_stride, 4)
        return np.lib.stride_tricks.as_strided(place, shape, strides)

    def _behind(self, name: str) -> FloatArray:
        array = self.arrays[name]
        whole = array.base
        assert whole is not None
        start = (array.ctypes.data - whole.ctypes.data) // 4 + array.size
        behind: FloatArray = whole[start : start + _BEHIND]
        return behind

    def stop(self) -> None:
        for name in ("arena", "workspace", "output"):
            assert (self._behind(name) == _GUARD).all(), f"written behind the {name}"
        if self.pool:
            self.library.ell_pool_destroy(ctypes.c_void_p(self.pool))


def compile_networks(
    models: Mapping[str, tuple[Model, ConvolutionOptions]], directory: Path
) -> dict[str, CompiledNetwork]:
    """All models in one shared library; each with the options given, or unrolled where those do not apply."""
    host = find_target("host")
    toolchain = NativeToolchain()
    sources = {name: c_text(name) for name in RUNTIME}
    parts: dict[str, tuple[Network, list[Variant], FloatArray, bool, bool]] = {}
    for key, (model, options) in models.items():
        network = lower(model)
        variants: list[Variant] = []
        together = False  # a row's pixels, which adds zeros times each other's values to them
        for step in network.convolutions:
            site = site_of(network, step, cpu_of(host), host.cores)
            together = together or neighbours_of(site) > 1
            wanted = toolchain.canonical(step.shape, options, host) or ConvolutionOptions("unrolled")
            variants.append(Variant(kernel_for(site, wanted)))
        stream = io.BytesIO()
        table = emit_network(network, [[v] for v in variants], WeightFile(stream))
        sources[f"net_{key}"] = table.replace("ell_the_network", f"net_{key}")
        sources |= {v.function: v.kernel.source(v.function) for v in variants}
        weights = np.frombuffer(stream.getvalue(), np.float32)
        transformed = options.method == "winograd" or bool(options.gemm_blocking) or together
        parts[key] = (network, variants, weights, options.parallelize, transformed)
    compiler = Compiler(host, C_FOLDERS, directory / "objects")
    objects = compiler.objects(sources, Deadline.after(600), ("-fPIC", "-fvisibility=default", "-O1"))
    compiler.link(objects.values(), directory / "networks.so", Deadline.after(600), ("-shared",))
    library = ctypes.CDLL(str(directory / "networks.so"))
    return {key: CompiledNetwork(library, f"net_{key}", *part) for key, part in parts.items()}


def _guarded(floats: int) -> FloatArray:
    """Floats that nobody has written, which are NaN; its base has a guard behind them."""
    memory = np.empty(floats + _BEHIND + 16, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    whole = memory[start : start + floats + _BEHIND]
    whole[:floats], whole[floats:] = np.nan, _GUARD
    return whole[:floats]


def _aligned(values: FloatArray) -> FloatArray:
    memory = np.empty(values.size + 16, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    result = memory[start : start + values.size]
    result[:] = values
    return result
