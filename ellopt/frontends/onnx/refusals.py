"""What of a model is not supported, gathered so that it is said at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ModelFormatError

#: Nodes that are named for each reason.
_NAMED = 3
_RECURRENT = ("LSTM", "GRU", "RNN")
_CONTROL = ("If", "Loop", "Scan")
_QUANTISED = ("QLinear", "QAttention", "QGemm", "QMoE")
#: How many they make, or what, depends on the values.
_CHOOSING = ("NonMaxSuppression", "TopK", "NonZero", "Unique", "Compress", "RoiAlign", "MaxRoiPool")
_INLINE = ": it is a function of the file; put its nodes in its place (onnx.inliner.inline_local_functions)"
_CUT = "cut the model before it (onnx.utils.extract_model)"


class Refused(Exception):
    """An operator, as a node uses it, is not supported. Says what is not, and what could be done."""


@dataclass
class Refusals:
    """Labels of nodes by what is not supported of them."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def unsupported(self, label: str, operator: str, in_file: bool = False) -> None:
        """A node whose operator is not supported at all. ``in_file``: the file itself defines it, as a function."""
        advice = _INLINE if in_file else _advice(operator)
        self.add(label, f"the operator {operator} is not supported{advice}")

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
    name = operator.rpartition(".")[2]
    if name in _RECURRENT:
        return f": recurrent networks are not; {_CUT}"
    if name in _CONTROL:
        return ": control flow is not; export the model traced, for one input size"
    if "quant" in name.lower() or name.startswith(_QUANTISED) or name.endswith(("Integer", "Float16")):
        return ": quantised models are not; export the model in float32"
    if name in _CHOOSING or "NMS" in name or "NonMax" in name:
        return f": what chooses among results is not; export the model without it and choose in your program, or {_CUT}"
    if "." in operator:
        return ": it is not one of ONNX's own; export the model with standard operators only"
    return f"; export the model without it, or {_CUT}"
