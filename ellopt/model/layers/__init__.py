"""What the nodes of a model mean: a module a kind, with its data, what it computes, and what it counts and rounds."""

from ellopt.model.layers.activation import Activation
from ellopt.model.layers.axis import AxisExtreme, AxisSoftmax, AxisWeights
from ellopt.model.layers.base import FloatArray, MemoryLayout, Node, PerChannel, Shape3, Tensor
from ellopt.model.layers.binary_operation import BinaryOperation
from ellopt.model.layers.broadcast import Broadcast
from ellopt.model.layers.channels import BatchNormalization, Bias, Scaling
from ellopt.model.layers.convolution import Convolution
from ellopt.model.layers.ends import Constant, Input, Output
from ellopt.model.layers.fully_connected import FullyConnected
from ellopt.model.layers.general import General, IntArray
from ellopt.model.layers.matrix_product import MatrixProduct
from ellopt.model.layers.moves import Reinterpret, Reorder
from ellopt.model.layers.pooling import Pooling
from ellopt.model.layers.reduction import Reduction
from ellopt.model.layers.remap import OUTSIDE, Concatenation, Remap
from ellopt.model.layers.softmax import Softmax
from ellopt.model.layers.window_pooling import WindowPooling

__all__ = [
    "OUTSIDE",
    "Activation",
    "AxisExtreme",
    "AxisSoftmax",
    "AxisWeights",
    "BatchNormalization",
    "Bias",
    "BinaryOperation",
    "Broadcast",
    "Concatenation",
    "Constant",
    "Convolution",
    "FloatArray",
    "FullyConnected",
    "General",
    "Input",
    "IntArray",
    "MatrixProduct",
    "MemoryLayout",
    "Node",
    "Output",
    "PerChannel",
    "Pooling",
    "Reduction",
    "Reinterpret",
    "Remap",
    "Reorder",
    "Scaling",
    "Shape3",
    "Softmax",
    "Tensor",
    "WindowPooling",
]
