"""What a library's files say of the model's inputs and outputs."""

from __future__ import annotations

import re

from ellopt.model.graph import Model, Port


def port_facts(model: Model, name: str) -> dict[str, str]:
    """The facts that templates are filled with: texts for comments, macros of C, tuples of Python."""
    inputs, outputs = model.input_ports, model.output_ports
    return {
        "ports_text": _text(model),
        "ports_macros": _macros(model, name.upper()),
        "input_text": _shapes(inputs),
        "output_text": _shapes(outputs),
        "inputs_python": _python(inputs),
        "outputs_python": _python(outputs),
    }


def _shapes(ports: tuple[Port, ...]) -> str:
    return " and ".join(" x ".join(map(str, port.shape)) for port in ports)


def _text(model: Model) -> str:
    if not model.inputs:
        return (
            f" * Input:  {_shapes(model.input_ports)} floats: rows, columns, channels, channels innermost.\n"
            f" * Output: {_shapes(model.output_ports)} floats in the same order."
        )
    lines = [" * Floats in the order of the model's own axes, the last one innermost."]
    for kind, ports in (("input", model.inputs), ("output", model.outputs)):
        lines += [
            f" * {kind} {k}: {_comment(port.name)}: {_shapes((port,))} floats" + _place(port, ports)
            for k, port in enumerate(ports)
        ]
    return "\n".join(lines)


def _place(port: Port, ports: tuple[Port, ...]) -> str:
    return f", from element {port.offset} of the array of all on" if len(ports) > 1 else ""


def _macros(model: Model, name: str) -> str:
    """Where each of several inputs and outputs begins."""
    lines = []
    for kind, ports in (("INPUT", model.inputs), ("OUTPUT", model.outputs)):
        if len(ports) > 1:
            for k, port in enumerate(ports):
                lines.append(f"#define {name}_{kind}_{k}_OFFSET {port.offset}")
                lines.append(f"#define {name}_{kind}_{k}_SIZE {port.elements}")
    return "".join(f"{line}\n" for line in lines)


def _python(ports: tuple[Port, ...]) -> str:
    """A literal; names are escaped to ASCII."""
    rows = ", ".join(f"({port.name!a}, {port.shape!r}, {port.offset})" for port in ports)
    return f"({rows},)"


def _comment(text: str) -> str:
    """A name without what means something in a comment of C."""
    return re.sub(r"[^A-Za-z0-9_.:, -]", "_", text)[:80]
