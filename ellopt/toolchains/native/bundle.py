"""What a native bundle says of itself: ``manifest.json`` beside its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.convolution.kernel import KernelSite
from ellopt.codegen.emit import Variant
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.devices.bundle import Bundle
from ellopt.files.json_values import parse_object
from ellopt.targets import CPUS, Target, find_target
from ellopt.toolchains.native.job import Choice

FORMAT_VERSION = 3
_PLAIN = ("version", "digest", "files", "target", "threads", "code_bytes", "order")
MANIFEST = "manifest.json"


def canonical_at(site: KernelSite, shape: ConvolutionShape, options: ConvolutionOptions) -> ConvolutionOptions | None:
    """The representative of all options that do the same for a layer of ``shape`` at ``site``; None if not valid."""
    return canonical(shape, options, site.cpu, site.cores)


@lru_cache(maxsize=4096)  # every job names a kernel for each layer of each of its plans
def _kernel_of(
    site: KernelSite, shape: ConvolutionShape, options: ConvolutionOptions
) -> tuple[str, tuple[int, int, int], bool] | None:
    """The identity of the kernel that computes ``options``, its depths, and whether it runs in parallel."""
    best = canonical_at(site, shape, options)
    if best is None:
        return None
    kernel = kernel_for(site, best)
    return Variant(kernel).identity, kernel.depths, best.parallelize


@dataclass(frozen=True)
class LayerManifest:
    """A convolution layer of the bundle. ``variants`` are the identities of its kernels, in their order."""

    node_id: str
    shape: ConvolutionShape
    site: KernelSite
    variants: tuple[str, ...]
    options: frozenset[ConvolutionOptions]

    def choice(self, options: ConvolutionOptions) -> Choice | None:
        """How the runner is told to use ``options``; None if the bundle lacks the kernel."""
        found = _kernel_of(self.site, self.shape, options)
        if found is None or found[0] not in self.variants:
            return None
        identity, depths, parallel = found
        return Choice(self.variants.index(identity), parallel, depths)


@dataclass(frozen=True)
class StepManifest:
    """A step of the network: the node that its time is reported for, that node's type, and its layer or -1."""

    node_id: str
    type_name: str
    layer: int


@dataclass(frozen=True)
class Manifest:
    """All that is needed to use a bundle without its model. ``layers`` are in the order of the runner's."""

    digest: str
    files: tuple[str, ...]
    target: str
    threads: int
    code_bytes: int
    layers: tuple[LayerManifest, ...]
    steps: tuple[StepManifest, ...]
    #: the convolution layers' ids in the order of the model
    order: tuple[str, ...]
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    version: int = FORMAT_VERSION

    def write(self, directory: Path) -> None:
        data: dict[str, Any] = {
            **{
                key: getattr(self, key)
                for key in ("version", "digest", "files", "target", "threads", "code_bytes", "order")
            },
            "input_shape": self.input_shape,
            "output_shape": self.output_shape,
            "layers": [
                {
                    "node_id": layer.node_id,
                    "shape": layer.shape.to_json(),
                    "site": {**asdict(layer.site), "cpu": layer.site.cpu.name},
                    "variants": layer.variants,
                    "options": [o.to_json() for o in sorted(layer.options)],
                }
                for layer in self.layers
            ],
            "steps": [asdict(step) for step in self.steps],
        }
        (directory / MANIFEST).write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Manifest | None:
        """The manifest of a bundle; None if there is no whole bundle of this version."""
        try:
            data = parse_object((directory / MANIFEST).read_bytes())
            if data["version"] != FORMAT_VERSION:
                return None
            manifest = cls(
                digest=data["digest"],
                files=tuple(data["files"]),
                target=data["target"],
                threads=data["threads"],
                code_bytes=data["code_bytes"],
                layers=tuple(
                    LayerManifest(
                        layer["node_id"],
                        ConvolutionShape.from_json(layer["shape"]),
                        KernelSite(**{**layer["site"], "cpu": CPUS[layer["site"]["cpu"]]}),
                        tuple(layer["variants"]),
                        frozenset(ConvolutionOptions.from_json(o) for o in layer["options"]),
                    )
                    for layer in data["layers"]
                ),
                steps=tuple(StepManifest(**step) for step in data["steps"]),
                order=tuple(data["order"]),
                input_shape=_shape3(data["input_shape"]),
                output_shape=_shape3(data["output_shape"]),
            )
        except (ConfigurationError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return manifest if all((directory / name).is_file() for name in manifest.files) else None

    def bundle(self, path: Path) -> Bundle:
        """The bundle that this manifest describes, at ``path``."""
        return Bundle(
            path,
            self.digest,
            self.files,
            "native",
            self._target(),
            {layer.node_id: layer.options for layer in self.layers},
            self.code_bytes,
        )

    def _target(self) -> Target:
        return find_target(self.target, self.threads)


def digest_of(directory: Path, files: Iterable[str]) -> str:
    """A hash over the names and the contents of files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        with (directory / name).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def _shape3(values: Iterable[int]) -> tuple[int, int, int]:
    rows, columns, channels = values
    return (rows, columns, channels)
