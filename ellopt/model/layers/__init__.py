"""What the nodes of a model mean: a module a kind, with its data, what it computes, and what it counts and rounds."""

from ellopt.model.layers.activation import Activation
from ellopt.model.layers.base import FloatArray, MemoryLayout, Node, PerChannel, Shape3, Tensor
from ellopt.model.layers.binary_operation import BinaryOperation
from ellopt.model.layers.channels import BatchNormalization, Bias, Scaling
from ellopt.model.layers.convolution import Convolution
from ellopt.model.layers.ends import Constant, Input, Output
from ellopt.model.layers.fully_connected import FullyConnected
from ellopt.model.layers.moves import Reinterpret, Reorder
from ellopt.model.layers.pooling import Pooling
from ellopt.model.layers.softmax import Softmax

__all__ = [
    "Activation",
    "BatchNormalization",
    "Bias",
    "BinaryOperation",
    "Constant",
    "Convolution",
    "FloatArray",
    "FullyConnected",
    "Input",
    "MemoryLayout",
    "Node",
    "Output",
    "PerChannel",
    "Pooling",
    "Reinterpret",
    "Reorder",
    "Scaling",
    "Shape3",
    "Softmax",
    "Tensor",
]
