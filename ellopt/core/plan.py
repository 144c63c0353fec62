"""Options for every convolution layer of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ellopt.core.options import ConvolutionOptions

#: node id -> options
Rest = Mapping[str, ConvolutionOptions] | None


@dataclass(frozen=True, order=True)
class Plan(Mapping[str, ConvolutionOptions]):
    """Node id -> ConvolutionOptions for every convolution layer of a model, in the model's order. Hashable.

    Plans are composed here, and by ``ModelSpace``, which knows layers and shapes.
    """

    items_: tuple[tuple[str, ConvolutionOptions], ...]

    @classmethod
    def of(cls, choices: Mapping[str, ConvolutionOptions]) -> Plan:
        return cls(tuple(choices.items()))

    @classmethod
    def uniform(cls, node_ids: Iterator[str] | tuple[str, ...] | list[str], options: ConvolutionOptions) -> Plan:
        """The plan that computes every layer in the same way."""
        return cls(tuple((node_id, options) for node_id in node_ids))

    def __getitem__(self, node_id: str) -> ConvolutionOptions:
        for key, options in self.items_:
            if key == node_id:
                return options
        raise KeyError(node_id)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items_)

    def __len__(self) -> int:
        return len(self.items_)

    @classmethod
    def covering(cls, rows: Mapping[str, Sequence[ConvolutionOptions]], rest: Rest = None) -> tuple[Plan, ...]:
        """The fewest plans in which all options of each layer's row occur, in the rows' order, those of one precision
        together: layers side by side that are computed in float16 hand each other tensors of it.

        ``rest`` has what a layer is computed by when its row has ended; without it, the row begins again.
        """
        found: list[Plan] = []
        for precision in dict.fromkeys(options.precision for row in rows.values() for options in row):
            parts = {node_id: [o for o in row if o.precision == precision] for node_id, row in rows.items()}
            for t in range(max(map(len, parts.values()))):
                choices: dict[str, ConvolutionOptions] = {}
                for node_id, part in parts.items():
                    again = part or rows[node_id]
                    choices[node_id] = part[t] if t < len(part) else rest[node_id] if rest else again[t % len(again)]
                found.append(cls.of(choices))
        return tuple(found)

    def with_(self, node_id: str, options: ConvolutionOptions) -> Plan:
        """The same plan with one layer computed differently."""
        return self.with_all({node_id: options})

    def with_all(self, choices: Mapping[str, ConvolutionOptions]) -> Plan:
        """The same plan with the layers in ``choices`` computed as they say."""
        return Plan(tuple((key, choices.get(key, old)) for key, old in self.items_))

    def to_json(self) -> dict[str, Any]:
        return {key: options.to_json() for key, options in self.items_}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(tuple((key, ConvolutionOptions.from_json(value)) for key, value in data.items()))
