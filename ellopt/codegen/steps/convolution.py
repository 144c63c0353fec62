"""Convolutions with what is fused behind them; their kernels are generated."""

from __future__ import annotations

from ellopt.codegen.fold import fold
from ellopt.codegen.fuse import Group
from ellopt.codegen.network import ConvolutionStep
from ellopt.codegen.steps.lowering import Lowering
from ellopt.core.shapes import ConvolutionShape
from ellopt.model.layers import Convolution, PerChannel


def lower(lowering: Lowering, group: Group) -> None:
    node = group.first
    assert isinstance(node, Convolution)
    layout, size = node.input_layouts[0], node.output_layout.size
    filters, channels = node.weights.shape[0], layout.size[2]
    (_, columns), (_, column_stride) = node.window, node.strides
    if layout.extent[2] != channels or filters != size[2]:
        lowering.fail(node, "padding along the channels is not supported")
    affine = fold(group.nodes[1:], filters)
    activation, leaky, beta = group.activation
    source, pads_input = lowering.values.read_with_border(node)
    inputs = [source]
    if group.residual is not None:
        inputs.append(lowering.values.view(*group.residual, group.last))
    shape = ConvolutionShape(
        layout.size[0], layout.size[1], channels, filters, node.receptive_field, node.stride,
        layout.offset[0], node.depthwise, size[0], size[1], _epilogue(group, activation),
        0 if columns == node.receptive_field else columns,
        0 if column_stride == node.stride else column_stride,
        *node.dilations, node.groups,
    )  # fmt: skip
    lowering.add(
        ConvolutionStep(
            group.node_ids, node.type_name, tuple(inputs), lowering.values.define(group.last),
            activation, leaky, beta,
            shape=shape, border=lowering.borders.read_by(node), name=node.name,
            weights=affine.scaled(node.weights), bias=affine.shift, residual_last=group.residual_last,
            pads_input=pads_input,
        )
    )  # fmt: skip


def _epilogue(group: Group, activation: str) -> str:
    """What is fused behind a convolution, as ``ConvolutionShape.epilogue`` names it."""
    affine = any(isinstance(node, PerChannel) for node in group.nodes)
    parts = ["bias"] if affine else []
    if group.residual is not None and not group.residual_last:
        parts.append("residual")
    if activation != "none":
        parts.append(activation)
    return " ".join([*parts, "residual"] if group.residual_last else parts)
