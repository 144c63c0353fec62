"""What a bundle of models compiled by ELL says of itself: ``ell.json`` beside its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.core.job import Job
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.files.json_values import parse_object
from ellopt.model.layers import FloatArray
from ellopt.targets import Target, find_target
from ellopt.toolchains.settling import settling_passes_alone
from ellopt.toolchains.zig import cpu_of

FORMAT_VERSION = 3
MANIFEST = "ell.json"
REFERENCE = "reference.npy"  # stays here: the bundle's outputs are compared on this side


@dataclass(frozen=True)
class Worker:
    """One compiled model in the program: a plan's number, the form of its code, with profiling or not."""

    plan: int
    form: str
    profiled: bool


@dataclass(frozen=True)
class EllBundle(Bundle):
    """A bundle that runs the plans it was built with, and no mixture of them."""

    plans: tuple[Plan, ...] = ()

    def runs(self, plan: Plan) -> bool:
        return plan in self.plans


@dataclass(frozen=True)
class EllManifest:
    """``slots`` are the ids of the model's nodes that times are reported for; ``layers`` the convolutions among them.

    ``weight_bytes``: of each plan, about how much its convolutions read in a pass. ``log_outputs``: outputs are
    compared by their logarithms.
    """

    digest: str
    files: tuple[str, ...]
    target: str
    threads: int
    code_bytes: int
    plans: tuple[Plan, ...]
    weight_bytes: tuple[int, ...]
    workers: tuple[Worker, ...]
    slots: tuple[str, ...]
    layers: tuple[str, ...]
    log_outputs: bool
    version: int = FORMAT_VERSION

    def write(self, directory: Path) -> None:
        data = {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "plans": [plan.to_json() for plan in self.plans],
            "workers": [asdict(worker) for worker in self.workers],
        }
        (directory / MANIFEST).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> EllManifest | None:
        """The manifest of a bundle; None if there is no whole bundle of this version."""
        try:
            data = parse_object((directory / MANIFEST).read_bytes())
            if data["version"] != FORMAT_VERSION:
                return None
            manifest = cls(
                **{
                    **data,
                    **{name: tuple(data[name]) for name in ("files", "weight_bytes", "slots", "layers")},
                    "plans": tuple(Plan.from_json(plan) for plan in data["plans"]),
                    "workers": tuple(Worker(**worker) for worker in data["workers"]),
                }
            )
        except (ConfigurationError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        whole = all((directory / name).is_file() for name in (*manifest.files, REFERENCE))
        return manifest if whole else None

    def bundle(self, path: Path) -> EllBundle:
        """The bundle that this manifest describes, at ``path``."""
        choices = {node_id: frozenset(plan[node_id] for plan in self.plans) for node_id in self.layers}
        target: Target = find_target(self.target, self.threads)
        return EllBundle(path, self.digest, self.files, "ell", target, choices, self.code_bytes, self.plans)

    def turn_warm_up(self, plan: Plan, job: Job) -> int:
        """The untimed passes of a turn of ``plan``, which in these programs shares nothing with other plans."""
        if not job.settle:
            return job.turn_warm_up
        weights = self.weight_bytes[self.plans.index(plan)]
        return max(job.turn_warm_up, settling_passes_alone(weights, cpu_of(find_target(self.target)).cache_mib))

    def workers_of(self, plan: Plan, profiled: bool) -> Mapping[str, int]:
        """Form -> number of the worker that runs ``plan``. Raises ValueError if there is none."""
        if plan not in self.plans:
            raise ValueError("the bundle was built without this plan")
        number = self.plans.index(plan)
        return {w.form: i for i, w in enumerate(self.workers) if w.plan == number and w.profiled == profiled}


def output_error(values: FloatArray, reference: FloatArray, logarithms: bool) -> float:
    """max |value - reference| / max |reference| over [input, element]; the worst of the inputs.

    ``logarithms``: the values are probabilities; what entered the softmax is won back from them but for a constant,
    so that a large probability cannot hide an error in small ones.
    """
    found, wanted = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    unknown = ~np.isfinite(wanted)  # the model overflows: nothing is right or wrong there
    found, wanted = np.where(unknown, 0.0, found), np.where(unknown, 0.0, wanted)
    if not np.isfinite(found).all():
        return float("inf")
    if logarithms:
        found, wanted = (_logits(array) for array in (found, wanted))
    difference = np.abs(found - wanted).max(axis=1)
    return float((difference / np.maximum(1e-6, np.abs(wanted).max(axis=1))).max())


def _logits(probabilities: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    logarithms = np.log(np.maximum(probabilities, 1e-30))
    centered: np.ndarray[Any, np.dtype[np.float64]] = logarithms - logarithms.mean(axis=1, keepdims=True)
    return centered


def table_source(workers: Sequence[str], slots: Sequence[str]) -> str:
    """The C text that lists workers and slots for the runner."""
    lines = ['#include "ell_worker.h"', *(f"extern const ell_worker {name};" for name in workers)]
    lines.append(f"const ell_worker *const ell_workers[] = {{{', '.join('&' + name for name in workers)}}};")
    lines.append(f"const int ell_worker_count = {len(workers)};")
    lines.append(f"const char *const ell_slots[] = {{{', '.join(json.dumps(slot) for slot in slots)}}};")
    lines.append(f"const int ell_slot_count = {len(slots)};")
    return "\n".join(lines) + "\n"
