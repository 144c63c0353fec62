"""From a file's graph to operators between tensors of known shapes: what does not depend on the inputs is computed.

One walk over the nodes: with the shapes of what it reads, and with the values of what is constant, ``onnx`` infers the
shape of what a node makes; nodes that read nothing but constants are run by ``onnx``'s reference evaluator. Every
operator that is left knows the place of its node in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

from ellopt.core.errors import ModelFormatError
from ellopt.files.terminal import printable
from ellopt.frontends.onnx.branches import branch_place, read_by, taken_branch
from ellopt.frontends.onnx.evaluate import evaluated
from ellopt.frontends.onnx.file import Array, OnnxFile, tensor_values
from ellopt.frontends.onnx.order import in_order, is_standard, node_label, where
from ellopt.frontends.onnx.refusals import Refusals

Shape = tuple[int, ...]

#: The types of whole numbers, and the largest of each.
WHOLE: Mapping[int, int] = {
    TensorProto.INT8: 2**7 - 1,
    TensorProto.UINT8: 2**8 - 1,
    TensorProto.INT16: 2**15 - 1,
    TensorProto.UINT16: 2**16 - 1,
    TensorProto.INT32: 2**31 - 1,
    TensorProto.INT64: 2**63 - 1,
}
#: Inputs may have these: float32 holds them exactly.
_WHOLE_INPUTS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)
_OTHER_FLOATS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
#: Of a single tensor: places in it are counted in 32 bits.
MAX_ELEMENTS = 1 << 29
#: Constants that are computed may not be larger, in elements.
_LARGEST = 1 << 28
#: What no constant may be made of: another run would make another.
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_SUBGRAPHS = frozenset({"If", "Loop", "Scan"})
#: What makes whole numbers, and what moves them: as floats they are exact.
_MAKES_WHOLE = frozenset(
    {"ArgMax", "ArgMin", "Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice",
     "Concat"}
)  # fmt: skip
#: What the evaluator raises, of nodes that a file made up.
_EVALUATOR_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError
)  # fmt: skip
#: What is defined by other operators; ``onnx`` infers no shape for some versions of it.
_AS_FIRST = frozenset({"GroupNormalization", "RMSNormalization", "Celu", "Swish", "Gelu", "Mish"})
_COMPARISONS = frozenset({"GreaterOrEqual", "LessOrEqual"})
#: What ``onnx`` raises where a node is not as its operator's definition demands.
_INFERENCE_ERRORS = (
    shape_inference.InferenceError, checker.ValidationError, onnx.onnx_cpp2py_export.defs.SchemaError, ValueError
)  # fmt: skip
#: Constants that ``onnx`` needs to infer a shape are small.
_SHAPE_ELEMENTS = 4096


@dataclass(frozen=True, eq=False)
class Operator:
    """A node of the file that computes something of the inputs. ``place`` is where, see ``branches``; an empty name
    among ``inputs`` is one that was left out."""

    place: str
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """How messages call it."""
        return node_label(self.place, self.name, self.kind)


@dataclass(frozen=True, eq=False)
class Graph:
    """``shapes`` and ``kinds`` (TensorProto.DataType) are those of every tensor, constants too; ``inputs`` and
    ``outputs`` in the order of the file."""

    file: OnnxFile
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    constants: Mapping[str, Array]
    shapes: Mapping[str, Shape]
    kinds: Mapping[str, int]


def fold(file: OnnxFile, input_shapes: Mapping[str, Shape], supported: Collection[str], refusals: Refusals) -> Graph:
    """The graph of ``file`` for inputs of ``input_shapes`` (those that it says itself where they are not given).

    Operators that are not ``supported`` and do not fold away are told to ``refusals``; what is behind them is not in
    the graph. Raises ModelFormatError, naming file and node, where a graph is no graph: a tensor without origin, made
    twice, a cycle, shapes that do not go together.
    """
    return _Fold(file, supported, refusals).graph(input_shapes)


@dataclass
class _Fold:
    file: OnnxFile
    supported: Collection[str]
    refusals: Refusals
    types: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def graph(self, input_shapes: Mapping[str, Shape]) -> Graph:
        graph = self.file.message.graph
        if graph.sparse_initializer:
            raise ModelFormatError(f"{self.file.path}: sparse weights are not supported; export dense ones")
        self._begin(graph)
        self.made.update(name for node in graph.node for name in node.output)
        inputs = [value for value in graph.input if value.name not in self.constants]
        self._inputs(inputs, input_shapes)
        operators = []
        for index in in_order(self.file.path, graph, {value.name for value in inputs} | set(self.constants)):
            operators += self._node(str(index), graph.node[index])
        outputs = tuple(value.name for value in graph.output)
        if not outputs:
            raise ModelFormatError(f"{self.file.path}: the graph has no output")
        for name in outputs:
            if name not in self.types and name not in self.unknown:
                raise ModelFormatError(f"{self.file.path}: nothing computes the output {printable(name)}")
        shapes = {name: _shape(type_) for name, type_ in self.types.items()}
        names = tuple(value.name for value in inputs)
        kinds = {name: int(type_.tensor_type.elem_type) for name, type_ in self.types.items()}
        return Graph(self.file, names, outputs, tuple(_needed(operators, outputs)), self.constants, shapes, kinds)

    def _inputs(self, inputs: Sequence[Any], given: Mapping[str, Shape]) -> None:
        path = self.file.path
        if not inputs:
            raise ModelFormatError(f"{path}: the graph has no input: all that it computes is constant")
        names = [value.name for value in inputs]
        for name in given:
            if name not in names:
                raise ModelFormatError(
                    f"{path}: --input_shape: there is no input {printable(name)}; there are: "
                    f"{', '.join(map(printable, names))}"
                )
        for value in inputs:
            tensor = value.type.tensor_type
            if tensor.elem_type not in (TensorProto.FLOAT, *_WHOLE_INPUTS):
                kind = (
                    TensorProto.DataType.Name(tensor.elem_type) if value.type.HasField("tensor_type") else "no tensor"
                )
                raise ModelFormatError(
                    f"{path}: the input {printable(value.name)} has elements of type {kind}; only FLOAT and whole "
                    "numbers of 8 and 16 bits are supported: export the model in float32"
                )
            shape = given.get(value.name) or _declared(path, value)
            self.types[value.name] = helper.make_tensor_type_proto(tensor.elem_type, shape)

    def _begin(self, graph: Any) -> None:
        """Take the constants of a graph, and what is read in it."""
        self.read.update(*map(read_by, graph.node), (value.name for value in graph.output))
        for tensor in graph.initializer:
            self._constant(tensor.name, tensor_values(self.file.path, tensor))

    def _branch(self, place: str, node: Any) -> list[Operator]:
        """What is left of the branch that an ``If`` of known condition takes, its outputs under the node's names."""
        label = node_label(place, node.name, node.op_type)
        condition = self.constants[node.input[0]]
        known = {*self.types, *self.constants, *self.unknown}
        if condition.size != 1:
            raise where(self.file.path, label, f"has a condition of {condition.size} elements")
        graph = taken_branch(node, bool(condition.reshape(-1)[0]), known | self.made)
        if graph is None or len(graph.output) != len(node.output):
            raise where(self.file.path, label, "has no branch that makes what it is to make")
        self._begin(graph)
        self.made.update(name for inner in graph.node for name in inner.output)
        operators = []
        for index in in_order(self.file.path, graph, known | {tensor.name for tensor in graph.initializer}):
            operators += self._node(branch_place(place, bool(condition), index), graph.node[index])
        for inner, outer in zip(graph.output, node.output, strict=True):
            operators += self._node(place, helper.make_node("Identity", [inner.name], [outer], name=node.name))
        return operators

    def _node(self, place: str, node: Any) -> list[Operator]:
        """What is left of a node: itself, or nothing; of an ``If`` a branch."""
        if node.op_type == "If" and is_standard(node) and node.input and node.input[0] in self.constants:
            return self._branch(place, node)
        measured = node.op_type in ("Shape", "Size") and is_standard(node)
        constant = not measured and self._is_constant(node)
        if not (measured or constant or (is_standard(node) and node.op_type in self.supported)):
            own = {(function.domain, function.name) for function in self.file.message.functions}
            label = node_label(place, node.name, node.op_type)
            self.refusals.unsupported(label, _full_name(node), (node.domain, node.op_type) in own)
            self.unknown.update(filter(None, node.output))
            return []
        if any(name in self.unknown for name in node.input):
            self.unknown.update(filter(None, node.output))
            return []
        if node.op_type != "Constant":  # its first version was of floats alone, which files did not mind
            self._infer(place, node)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if constant:
            self._evaluate(place, node)
            return []
        if measured:
            shape = _shape(self.types[node.input[0]])
            part = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
            self._constant(node.output[0], np.array(part if node.op_type == "Shape" else prod(shape), np.int64))
            return []
        kinds = {self.types[name].tensor_type.elem_type for name in node.output if name in self.types}
        known = {TensorProto.FLOAT, TensorProto.BOOL} | (WHOLE.keys() if node.op_type in _MAKES_WHOLE else set())
        if strange := kinds - known:
            kind = TensorProto.DataType.Name(min(strange))
            label = node_label(place, node.name, node.op_type)
            advice = "; export the model in float32" if min(strange) in _OTHER_FLOATS else ""
            self.refusals.add(
                label, f"elements of type {kind} that are computed from the input are not supported{advice}"
            )
            self.unknown.update(filter(None, node.output))
            return []
        return [Operator(place, node.op_type, node.name, tuple(node.input), tuple(node.output), attributes)]

    def _is_constant(self, node: Any) -> bool:
        """Whether it makes the same whatever the model's inputs are."""
        if not is_standard(node) or node.op_type in _RANDOM | _SUBGRAPHS:
            return False
        return all(not name or name in self.constants for name in node.input)

    def _infer(self, place: str, node: Any) -> None:
        """Find the types of what a node makes."""
        label = node_label(place, node.name, node.op_type)
        version = self.file.opset
        if node.op_type in _AS_FIRST:
            self.types[node.output[0]] = self.types[node.input[0]]
            return
        try:
            schema = onnx.defs.get_schema(node.op_type, version, "")
            small = {
                name: numpy_helper.from_array(self.constants[name])
                for name in node.input
                if name in self.constants and self.constants[name].size <= _SHAPE_ELEMENTS
            }
            read = {name: self.types[name] for name in node.input if name}
            imports = [helper.make_opsetid("", version)]
            found = shape_inference.infer_node_outputs(schema, node, read, small, opset_imports=imports)
            if node.op_type in _COMPARISONS:
                both = np.broadcast_shapes(*(_shape(self.types[name]) for name in node.input))
                found = {node.output[0]: helper.make_tensor_type_proto(TensorProto.BOOL, both)}
        except _INFERENCE_ERRORS as error:
            shapes = ", ".join(f"{printable(name)}: {list(_shape(self.types[name]))}" for name in node.input if name)
            reason = " ".join(str(error).split())
            raise ModelFormatError(
                f"{self.file.path}: {label} cannot be computed of what it reads ({shapes}): {reason}"
            ) from error
        for name in filter(None, node.output):
            if name in found and name not in self.constants:
                shapeless = not found[name].tensor_type.HasField("shape")
                if shapeless and name in self.read and not self._is_constant(node):
                    raise where(self.file.path, label, "makes a tensor whose shape cannot be found; it must be fixed")
                self.types[name] = found[name]
                if _elements(found[name]) > MAX_ELEMENTS:
                    raise where(self.file.path, label, f"makes a tensor of more than {MAX_ELEMENTS} elements")

    def _evaluate(self, place: str, node: Any) -> None:
        """Compute what a node makes of constants."""
        label = node_label(place, node.name, node.op_type)
        if any(_elements(self.types.get(name)) > _LARGEST for name in node.output):
            raise ModelFormatError(f"{self.file.path}: {label} makes a constant of more than {_LARGEST} elements")
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values: list[Any] = [tensor_values(self.file.path, node.attribute[0].t, node.output[0])]
        else:
            try:
                values = evaluated(node, self.file.opset, {name: self.constants[name] for name in node.input if name})
            except _EVALUATOR_ERRORS as error:
                raise where(self.file.path, label, f"cannot be computed: {error}") from error
        for name, value in zip(node.output, values, strict=False):
            if name:
                self._constant(name, np.asarray(value))

    def _constant(self, name: str, values: Array) -> None:
        self.constants[name] = values
        try:
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        except (KeyError, ValueError) as error:
            raise ModelFormatError(f"{self.file.path}: the constant {printable(name)} is no tensor") from error
        self.types[name] = helper.make_tensor_type_proto(kind, values.shape)


def _declared(path: Any, value: Any) -> Shape:
    """The shape of an input as the file says it: the first dimension, of unknown size, is 1."""
    name = printable(value.name)
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelFormatError(f"{path}: the input {name} says no shape; give one: --input_shape '{name}=1,3,224,224'")
    sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else 0 for d in tensor.shape.dim]
    if sizes:
        sizes[0] = sizes[0] or 1
    if 0 in sizes:
        shown = ",".join(str(n) if n else (d.dim_param or "?") for n, d in zip(sizes, tensor.shape.dim, strict=True))
        raise ModelFormatError(
            f"{path}: the input {name} has the shape {printable(shown)}, which is not fixed; say which one is "
            f"meant: --input_shape '{name}={','.join(str(n or 224) for n in sizes)}'"
        )
    return tuple(sizes)


def _shape(type_: Any) -> Shape:
    """A tensor's shape; unknown dimensions are -1."""
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in type_.tensor_type.shape.dim)


def _elements(type_: Any) -> int:
    return 0 if type_ is None else prod(max(0, n) for n in _shape(type_))


def _full_name(node: Any) -> str:
    return node.op_type if is_standard(node) else f"{node.domain}.{node.op_type}"


def _needed(operators: Sequence[Operator], outputs: Sequence[str]) -> list[Operator]:
    """Those that the outputs depend on, in their order; results that nobody reads have no name."""
    wanted = set(outputs)
    kept = []
    for operator in reversed(operators):
        if wanted.intersection(operator.outputs):
            wanted.update(operator.inputs)
            outputs = tuple(name if name in wanted else "" for name in operator.outputs)
            kept.append(replace(operator, outputs=outputs))
    return kept[::-1]
