"""Whether an object fits the program that it is linked into: its processor, and how calls pass floating-point numbers.

ELL's code calls the C library with numbers (``expf``, ``sqrtf``). Passed in integer registers where the library looks
in floating-point ones, or the other way round, they arrive as something else. Layout: System V ABI, chapter 4; ABI for
the Arm Architecture, "Addenda", section 3.3 (build attributes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ellopt.targets import Target
from ellopt.toolchains.ell.object import is_elf

_MACHINES = {"arm": 40, "aarch64": 183, "x86_64": 62}
_ARM_ATTRIBUTES = 0x70000003
_VFP_ARGUMENTS = 28
#: values of that attribute: numbers in integer registers, in floating-point registers; others fit both
_BASE, _REGISTERS = 0, 1
_TEXT_TAGS = frozenset({4, 5})
_COMPATIBILITY = 32


def require_fit(data: bytes, target: Target) -> None:
    """Raise ValueError, saying what is wrong, if an ELF object is for another processor than ``target`` has, or passes
    floating-point numbers in other registers than a program for ``target`` does. Of the host nothing is known."""
    if target.is_host:
        return
    if not is_elf(data):
        raise ValueError("it is no ELF object")
    if len(data) < 64:
        raise ValueError("it is no whole ELF object")
    order = "<" if data[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", data, 18)
    architecture, _, system = target.triple.partition("-")
    if machine != _MACHINES[architecture]:
        raise ValueError(f"it is for another processor (ELF machine {machine}) than {target.name} has")
    if architecture != "arm":
        return
    hard = system.endswith("hf")
    try:
        passed = _vfp_arguments(data, order)
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError("its build attributes are damaged") from error
    if passed in (_BASE, _REGISTERS) and (passed == _REGISTERS) != hard:
        mine, wanted = ("integer", "floating-point") if hard else ("floating-point", "integer")
        raise ValueError(f"it passes numbers in {mine} registers, programs for {target.name} in {wanted} ones")


def _vfp_arguments(data: bytes, order: str) -> int | None:
    """The attribute; None if the object has no attributes."""
    (table,) = struct.unpack_from(order + "I", data, 0x20)
    size, count = struct.unpack_from(order + "HH", data, 0x2E)
    for index in range(count):
        _, kind, _, _, offset, length = struct.unpack_from(order + "IIIIII", data, table + index * size)
        if kind == _ARM_ATTRIBUTES:
            return dict(_attributes(data[offset : offset + length], order)).get(_VFP_ARGUMENTS, _BASE)
    return None


def _attributes(section: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Number and value of each attribute of the whole file."""
    if section[:1] != b"A":
        raise ValueError("unknown version")
    at = 1
    while at < len(section):
        (length,) = struct.unpack_from(order + "I", section, at)
        if length < 5 or at + length > len(section):
            raise ValueError("a part is longer than the section")
        vendor = section.index(b"\0", at + 4)
        if section[at + 4 : vendor] == b"aeabi" and section[vendor + 1] == 1:
            (part,) = struct.unpack_from(order + "I", section, vendor + 2)
            yield from _pairs(section[vendor + 6 : vendor + 1 + part])
        at += length


def _pairs(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        value = 0
        if tag not in _TEXT_TAGS and (tag <= _COMPATIBILITY or tag % 2 == 0):
            value, at = _number(data, at)
        if tag in _TEXT_TAGS or tag == _COMPATIBILITY or (tag > _COMPATIBILITY and tag % 2):
            at = data.index(0, at) + 1
        yield tag, value


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number in LEB128 at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
