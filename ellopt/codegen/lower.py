"""From a model to the steps that compute it.

Every value is kept with its channels innermost, whatever order its layout has in the file: an order only shows
where memory is read with another layout than it was written with, and there a copy makes the very bytes. Borders are
kept where a convolution reads them, or put there by the convolution itself; pooling clips its windows instead.
"""

from __future__ import annotations

from ellopt.codegen.arena import plan_arena
from ellopt.codegen.bands import find_chains
from ellopt.codegen.borders import Borders
from ellopt.codegen.dataflow import check_memory, check_steps
from ellopt.codegen.fuse import Group, fuse
from ellopt.codegen.network import Network
from ellopt.codegen.slices import write_slices
from ellopt.codegen.steps import STEP_KINDS
from ellopt.codegen.steps.lowering import Lowering
from ellopt.codegen.values import Values
from ellopt.core.errors import ModelFormatError
from ellopt.model.graph import Model
from ellopt.model.layers import Constant, Input, Output, Reinterpret, Reorder


def lower(model: Model, banded: bool = True) -> Network:
    """The network of ``model``. ``banded``: large tensors may be read while they are written (bands.py), which takes
    more memory. Raises ModelFormatError, naming file and node, for what cannot be computed."""
    borders = Borders(model, model.convolutions)
    lowering = Lowering(model, borders, Values(model, borders))
    groups = fuse(model)
    for group in groups:
        _lower(lowering, group)
    values = lowering.values
    if not values.input_name or not values.output_name:
        raise ModelFormatError(f"{model.path}: the model has no input or no output node")
    values.write_output_directly()
    direct, sliced = write_slices(values.steps, values.tensors)
    check_steps(direct, sliced)
    chains = find_chains(direct, sliced) if banded else ()
    steps, tensors, floats = plan_arena(direct, sliced, chains)
    network = Network(tuple(steps), tensors, values.constants, values.input_name, values.output_name, floats, chains)
    check_memory(network)
    return network


def _lower(lowering: Lowering, group: Group) -> None:
    node, values = group.first, lowering.values
    match node:
        case Input():
            if values.input_name:
                lowering.fail(node, "a model with more than one input is not supported")
            values.define_input(node)
        case Output():
            if values.output_name:
                lowering.fail(node, "a model with more than one output is not supported")
            values.define_output(node)
        case Constant():
            values.define_constant(node)
        case Reorder():
            if node.input_layouts[0].size != node.output_layout.size:
                lowering.fail(node, f"cannot reorder {node.input_layouts[0].size} into {node.output_layout.size}")
            values.pass_on(node, values.read(node))
        case Reinterpret():
            pass  # whoever reads it looks at the memory of the node that it reads
        case _:
            kind = next((STEP_KINDS[base] for base in type(node).__mro__ if base in STEP_KINDS), None)
            if kind is None:
                lowering.fail(node, "the native toolchain cannot compute it")
            kind.lower(lowering, group)
