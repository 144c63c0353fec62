"""What of a model is not supported, gathered so that it is said at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ModelFormatError

#: Nodes that are named for each reason.
_NAMED = 3
_RECURRENT = ("LSTM", "GRU", "RNN")
_CONTROL = ("If", "Loop", "Scan")


class Refused(Exception):
    """An operator, as a node uses it, is not supported. Says what is not, and what could be done."""


@dataclass
class Refusals:
    """Labels of nodes by what is not supported of them."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def unsupported(self, label: str, operator: str) -> None:
        """A node whose operator is not supported at all."""
        self.add(label, f"the operator {operator} is not supported{_advice(operator)}")

    def add(self, label: str, what: str) -> None:
        self.found.setdefault(what, []).append(label)

    def raise_any(self, path: Path, cannot: str = "cannot be tuned") -> None:
        """Raise ModelFormatError with all of them, if there are any. ``cannot``: what the file cannot be."""
        if not self.found:
            return
        lines = []
        for what, labels in self.found.items():
            more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
            nodes = f"{len(labels)} node{'s' if len(labels) > 1 else ''}"
            lines.append(f"{what} ({nodes}: {', '.join(labels[:_NAMED])}{more})")
        raise ModelFormatError(f"{path}: {cannot}: " + "; ".join(lines))


def _advice(operator: str) -> str:
    if operator in _RECURRENT:
        return ": recurrent networks are not; cut the model before it"
    if operator in _CONTROL:
        return ": control flow is not; export the model traced, for one input size"
    if "quant" in operator.lower() or operator.endswith(("Integer", "Float16")):
        return ": quantised models are not; export the model in float32"
    if "." in operator:
        return ": it is not one of ONNX's own; export the model with standard operators only"
    return "; export the model without it, or cut the model before it"
