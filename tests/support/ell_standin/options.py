"""The command line of ELL's compile, as far as it matters, with its ways to fail."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from ellopt.core.options import ELL_DEPTH_NAMES

METHODS = ("auto", "diagonal", "simple", "unrolled", "winograd")
TARGETS = ("host", "pi0", "pi3", "orangepi0", "pi3_64", "mac", "linux", "windows", "ios", "aarch64", "custom")
NAMES = ("preferredConvolutionMethod", "parallelize", *ELL_DEPTH_NAMES.values())
_FLAGS = ("profile", "mapWithOptions", "compiledMap", "header", "ir", "bitcode", "assembly", "objectCode")


class UsageError(Exception):
    """What the real one answers with exit code 1."""


@dataclass
class CompileOptions:
    model: str = ""
    directory: str = "."
    base: str = ""
    target: str = "host"
    method: str = "auto"
    parallelize: bool = False
    threads: int = 4  # the pool of the compiled code; --threads never gets there
    vectorize: bool = False
    blas: bool = True
    flags: set[str] = field(default_factory=set)
    model_options: dict[str, str] = field(default_factory=dict)
    node_options: dict[str, dict[str, str]] = field(default_factory=dict)

    def of_node(self, node_id: str, metadata: dict[str, str]) -> dict[str, str]:
        """What holds for a node: its own options before the model's before the command line's."""
        result = {"preferredConvolutionMethod": self.method, "parallelize": "true" if self.parallelize else "false"}
        return result | self.model_options | metadata | self.node_options.get(node_id, {})


def parse(arguments: list[str]) -> CompileOptions | None:
    """None for a call for help. Raises UsageError; a malformed option aborts as the real one does."""
    options = CompileOptions()
    if not arguments or arguments[0] in ("--help", "-h"):
        return None
    rest = list(arguments)
    while rest:
        name = rest.pop(0)
        if name.startswith("--") and name[2:] in _FLAGS:
            options.flags.add(name[2:])
            if rest and rest[0] in ("true", "false"):
                rest.pop(0)
            continue
        if not rest:
            raise UsageError(f"{name} needs a value")
        value = rest.pop(0)
        match name:
            case "-imap":
                options.model = value
            case "--outputDirectory":
                options.directory = value
            case "--outputFilenameBase":
                options.base = value
            case "--target":
                options.target = _one_of(name, value, TARGETS)
            case "--convolutionMethod":
                options.method = _one_of(name, value, METHODS)
            case "--parallelize":
                options.parallelize = _one_of(name, value, ("true", "false")) == "true"
            case "--blas":
                options.blas = _one_of(name, value, ("true", "false")) == "true"
            case "--threads":
                int(value)
            case "--vectorize":
                options.vectorize = _one_of(name, value, ("true", "false")) == "true"
            case "--modelOption":
                key, text = _parts(value, 2)
                options.model_options[key] = _checked(key, text)
                if key == "maxThreads":
                    options.threads = int(text)
            case "--nodeOption":
                node_id, key, text = _parts(value, 3)
                options.node_options.setdefault(node_id, {})[key] = _checked(key, text)
            case _:
                raise UsageError(f"unknown option {name}")
    return options


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"{name}: invalid value {value}")
    return value


def _parts(text: str, count: int) -> list[str]:
    parts = text.split(",")
    if len(parts) != count:
        sys.stderr.write("terminate called after throwing an exception\n")
        sys.stderr.flush()
        os.abort()
    return parts


def _checked(key: str, value: str) -> str:
    if key == "preferredConvolutionMethod":
        _one_of(key, value, METHODS)
    return value
