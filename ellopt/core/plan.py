"""Options for every convolution layer of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ellopt.core.options import ConvolutionOptions


@dataclass(frozen=True, order=True)
class Plan(Mapping[str, ConvolutionOptions]):
    """Node id -> ConvolutionOptions for every convolution layer of a model, in the model's order. Hashable."""

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

    def with_(self, node_id: str, options: ConvolutionOptions) -> Plan:
        """The same plan with one layer computed differently."""
        return Plan(tuple((key, options if key == node_id else old) for key, old in self.items_))

    def to_json(self) -> dict[str, Any]:
        return {key: options.to_json() for key, options in self.items_}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(tuple((key, ConvolutionOptions.from_json(value)) for key, value in data.items()))
