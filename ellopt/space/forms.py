"""How options and plans stand in documents: as the texts that users write."""

from __future__ import annotations

from collections.abc import Mapping

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.files.json_values import Form, Forms, decode


def _read_options(value: object, where: str) -> ConvolutionOptions:
    if not isinstance(value, str):
        raise ValueError(f"{where}: a text expected, not {repr(value)[:60]}")
    try:
        return ConvolutionOptions.parse(value)
    except ConfigurationError as error:
        raise ValueError(f"{where}: {error}") from error


_OPTIONS: Forms = {ConvolutionOptions: Form(str, _read_options)}


def _read_plan(value: object, where: str) -> Plan:
    return Plan.of(decode(Mapping[str, ConvolutionOptions], value, where, _OPTIONS))  # type: ignore[type-abstract]


#: for ``encode`` and ``decode``
OPTION_FORMS: Forms = {**_OPTIONS, Plan: Form(dict, _read_plan)}
