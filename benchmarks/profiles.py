"""Where models spend their time: from what ``ellopt bench --profile --json`` printed, a row of a table for each.

``python -m benchmarks.profiles FILE...`` reads such files. Shares are of all layers together, each measured by itself.
In the last column is the largest layer that is neither a convolution nor a matrix product.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Columns and the operators that they count; the last counts all others.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "convolutions, Gemm": ("Conv", "ConvTranspose", "Gemm", "MatMul"),
    "pooling, means": ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"),
    "Resize": ("Resize", "Upsample"),
    "moved": (
        *("Transpose", "Concat", "Split", "Slice", "Pad", "Reshape", "Gather", "Flatten", "Squeeze", "Unsqueeze"),
        *("DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Outputs", "Output"),
    ),
    "element by element": (),
}


@dataclass(frozen=True)
class Profile:
    """The share of each of the columns of a model's layers, and the largest layer besides convolutions and products."""

    model: str
    shares: Mapping[str, float]
    largest: str
    largest_share: float


def profile_of(model: str, found: Mapping[str, Any]) -> Profile:
    """From the object that ``ellopt bench --profile --json`` prints."""
    shares: dict[str, float] = defaultdict(float)
    multiplies = next(iter(_COLUMNS.values()))
    others = [(0.0, "")]
    for layer in found["layers"]:
        kind, share = layer["type_name"], float(layer["share"])
        column = next((name for name, kinds in _COLUMNS.items() if kind in kinds), [*_COLUMNS][-1])
        shares[column] += share
        if kind not in multiplies:
            others.append((share, kind))
    share, kind = max(others)
    return Profile(model, shares, kind, share)


def table(profiles: Sequence[Profile]) -> str:
    """In Markdown."""
    heads = ["model", *_COLUMNS, "largest of the others"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for profile in profiles:
        cells = [f"{100 * profile.shares.get(name, 0.0):.1f}" for name in _COLUMNS]
        largest = f"{profile.largest} {100 * profile.largest_share:.1f}" if profile.largest else ""
        lines.append("| " + " | ".join([profile.model, *cells, largest]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    files: list[Path] = parser.parse_args().files
    print(table([profile_of(file.stem, json.loads(file.read_text("utf-8"))) for file in files]))


if __name__ == "__main__":
    main()
