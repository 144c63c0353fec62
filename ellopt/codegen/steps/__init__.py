"""Steps of a network: a module a kind, with what it holds, how layers become it and which C function computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ellopt.codegen.fuse import Group
from ellopt.codegen.network import ConvolutionStep, CopyStep, Step
from ellopt.codegen.steps import binary, convolution, elementwise, fully_connected, general, pooling, products, softmax
from ellopt.codegen.steps.lowering import Lowering
from ellopt.model import layers


class StepKind(NamedTuple):
    """How a group of nodes that begins with a certain kind becomes steps of one kind."""

    lower: Callable[[Lowering, Group], None]
    step: type[Step]


#: The kind of a group's first node, or a base of it, -> its steps. A new kind of layer is a row.
STEP_KINDS: Mapping[type[object], StepKind] = {
    layers.Convolution: StepKind(convolution.lower, ConvolutionStep),
    layers.FullyConnected: StepKind(fully_connected.lower, fully_connected.FullyConnectedStep),
    layers.PerChannel: StepKind(elementwise.lower, elementwise.ElementwiseStep),
    layers.Activation: StepKind(elementwise.lower, elementwise.ElementwiseStep),
    layers.Pooling: StepKind(pooling.lower, pooling.PoolingStep),
    layers.Softmax: StepKind(softmax.lower, softmax.SoftmaxStep),
    layers.BinaryOperation: StepKind(binary.lower, binary.BinaryStep),
    layers.MatrixProduct: StepKind(products.lower, products.ProductStep),
    layers.AxisExtreme: StepKind(products.lower, products.ProductStep),
    layers.General: StepKind(general.lower, general.GeneralStep),
}
#: The C functions that compute steps.
STEP_FUNCTIONS = tuple(sorted({CopyStep.function, *(kind.step.function for kind in STEP_KINDS.values())} - {""}))
