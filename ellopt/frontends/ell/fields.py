"""Typed access to the fields of an archive's objects; every disagreement is a ModelFormatError saying where."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ellopt.core.errors import ModelFormatError
from ellopt.model.layers import FloatArray

#: Of one buffer, border included: 1 GiB of float32. Generated code counts in a C int; some need a few times as many.
MAX_ELEMENTS = 1 << 28
#: Of a window or a step: its square fits into a C int.
MAX_WINDOW = 1 << 15


@dataclass(frozen=True, eq=False)
class Fields:
    """An object of the archive. ``where`` names the file and the node in messages."""

    data: Mapping[str, Any]
    where: str

    def fail(self, message: str) -> NoReturn:
        raise ModelFormatError(printable(f"{self.where}: {message}"))

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def value(self, key: str) -> Any:
        if key not in self.data:
            self.fail(f"the field {key} is missing")
        return self.data[key]

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            self.fail(f"{key} must be a string, not {_shown(value)}")
        return value

    def integer(self, key: str, minimum: int = 0, maximum: int = MAX_ELEMENTS) -> int:
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.fail(f"{key} must be an integer from {minimum} to {maximum}, not {_shown(value)}")
        return value

    def number(self, key: str) -> float:
        """A finite number, as a float32 holds it."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 3.4028235e38:
            self.fail(f"{key} must be a number that a float32 can hold, not {_shown(value)}")
        return float(np.float32(value))

    def integers(self, key: str, minimum: int = 0) -> tuple[int, ...]:
        """A list of integers."""
        values = self.value(key)
        if not isinstance(values, list) or not all(
            isinstance(v, int) and not isinstance(v, bool) and minimum <= v <= MAX_ELEMENTS for v in values
        ):
            self.fail(f"{key} must be a list of integers from {minimum} to {MAX_ELEMENTS}, not {_shown(values)}")
        return tuple(values)

    def floats(self, key: str) -> FloatArray:
        """A list of numbers as a read-only float32 array; infinite and missing numbers are refused."""
        values = self.value(key)
        if not isinstance(values, list):
            self.fail(f"{key} must be a list of numbers, not {_shown(values)}")
        try:
            doubles = np.frombuffer(array("d", values))
        except (TypeError, OverflowError):
            self.fail(f"{key} must be a list of numbers that a float32 can hold")
        with np.errstate(over="ignore"):
            result = doubles.astype(np.float32)
        if not np.isfinite(result).all():
            self.fail(f"{key} holds NaN, infinite or too large values; export the model again")
        result.setflags(write=False)
        return result

    def object(self, key: str) -> Fields:
        value = self.value(key)
        if not isinstance(value, dict):
            self.fail(f"{key} must be an object, not {_shown(value)}")
        return Fields(value, self.where)

    def objects(self, key: str) -> tuple[Fields, ...]:
        values = self.value(key)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.fail(f"{key} must be a list of objects")
        return tuple(Fields(value, self.where) for value in values)

    @property
    def type_name(self) -> str:
        return self.text("_type")


def printable(text: str) -> str:
    """``text`` in one line of bounded length: names from a damaged file may hold anything."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= 1000 else line[:997] + "..."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
