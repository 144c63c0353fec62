"""The files in which chosen options travel: ``compile_options.json`` and ``compile_switches.txt``.

Both have the form in which ELL's scripts write them. What ELL does not know stands under the key ``ellopt`` of a
node, a short text, and is read first.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.methods import method_row
from ellopt.core.options import ELL_DEFAULT, ELL_DEPTH_NAMES, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.files.json_text import parse_json
from ellopt.model.graph import Model

#: our own key beside ELL's in the options of a node
OWN_KEY = "ellopt"
_METHOD, _PARALLELIZE = "preferredConvolutionMethod", "parallelize"


def plan_for(model: Model, options_file: Path | None = None) -> Plan:
    """How each convolution layer of ``model`` is to be computed: as ``options_file`` says, or as the model itself
    does, and as ELL does by default where neither says anything. Raises ConfigurationError for a bad file."""
    chosen = dict(model.options)
    if options_file is not None:
        chosen |= read_compile_options(options_file, [node.node_id for node in model.convolutions])
    return Plan.of({node.node_id: chosen.get(node.node_id, ELL_DEFAULT) for node in model.convolutions})


def read_compile_options(path: Path, node_ids: list[str] | None = None) -> dict[str, ConvolutionOptions]:
    """The options in a ``compile_options.json``, by node id. Raises ConfigurationError, naming file and node.

    With ``node_ids``, another node than those is an error.
    """
    try:
        data = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as compile options: {error}") from error
    nodes = data.get("nodes") if isinstance(data, dict) else None
    if not isinstance(nodes, dict) or set(data) - {"nodes", "preprocess"}:
        raise ConfigurationError(
            f'{path}: compile options are an object {{"nodes": {{id: options}}}} that may have "preprocess", too'
        )
    result: dict[str, ConvolutionOptions] = {}
    for node_id, values in nodes.items():
        if node_ids is not None and node_id not in node_ids:
            known = ", ".join(node_ids)
            raise ConfigurationError(f"{path}: node {node_id} is no convolution layer of the model; those are {known}")
        if not isinstance(values, dict):
            raise ConfigurationError(f"{path}: node {node_id}: options are an object")
        try:
            result[node_id] = options_from(values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: node {node_id}: {error}") from error
    return result


def options_from(values: Mapping[str, Any]) -> ConvolutionOptions:
    """The options of one node in ELL's form; our own key, where it is there, decides. Raises ConfigurationError."""
    known = {_METHOD, _PARALLELIZE, OWN_KEY, *ELL_DEPTH_NAMES.values()}
    for key in values:
        if key not in known:
            raise ConfigurationError(f"unknown option {key!r}; known: {', '.join(sorted(known))}")
    depths = {
        name: _depth(ell_name, values[ell_name]) for name, ell_name in ELL_DEPTH_NAMES.items() if ell_name in values
    }
    parallelize = _boolean(values.get(_PARALLELIZE, False))
    method = values.get(_METHOD, ELL_DEFAULT.method)
    if not isinstance(method, str):
        raise ConfigurationError(f"{_METHOD} is a text, not {method!r}")
    if OWN_KEY in values:
        own = values[OWN_KEY]
        if not isinstance(own, str):
            raise ConfigurationError(f"{OWN_KEY} is a text such as 'winograd t4 parallel', not {own!r}")
        return ConvolutionOptions.parse(own)
    row = method_row(method)
    # Files of the original carry depths on layers of other methods too, where they mean nothing.
    return ConvolutionOptions.from_json(
        {"method": method, "parallelize": parallelize, **(depths if row is not None and row.tiled else {})}
    )


def compile_options_json(plan: Plan, ell_plan: Plan | None = None, own: bool = True) -> str:
    """The text of ``compile_options.json``. ``ell_plan`` is what ELL is told where that differs from ``plan``."""
    nodes = {node_id: options_to(options, (ell_plan or plan)[node_id], own) for node_id, options in plan.items()}
    return json.dumps({"nodes": nodes}, indent=2) + "\n"


def options_to(options: ConvolutionOptions, ell_options: ConvolutionOptions, own: bool = True) -> dict[str, str | int]:
    """The options of one node: ELL's, and ours under our own key where ELL's do not say the same."""
    result = ell_options.to_ell()
    if own and options_from(result) != options:
        result[OWN_KEY] = str(options)
    return result


def compile_switches(plan: Plan, model_path: str, output_directory: str, target: str) -> str:
    """The text of ``compile_switches.txt``: the command line for ELL's ``compile``. ``plan`` is ELL's part.

    Quoted for a shell, where a path or a node's name needs it.
    """
    words = ["-imap", _path(model_path), "--outputDirectory", _path(output_directory), "--target", target]
    words.append("--mapWithOptions")
    for node_id, options in plan.items():
        for key, value in options.to_ell().items():
            words += ["--nodeOption", f"{node_id},{key},{value}"]
    return shlex.join(words)


def _path(text: str) -> str:
    return f"./{text}" if text.startswith("-") else text


def _depth(name: str, value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ConfigurationError(f"{name} is a whole number, not negative: {value!r}")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ConfigurationError(f"{_PARALLELIZE} is true or false, not {value!r}")
