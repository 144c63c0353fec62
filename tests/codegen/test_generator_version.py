"""What is kept between runs is keyed by GENERATOR_VERSION, so generated code must not change without it."""

from __future__ import annotations

import hashlib
import io
import json

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.emit import Variant, emit_network, site_of
from ellopt.codegen.lower import lower
from ellopt.codegen.sources import C_FOLDERS
from ellopt.codegen.version import GENERATOR_VERSION
from ellopt.codegen.weights import WeightFile
from ellopt.core.methods import Choices, find_method, method_names
from ellopt.core.options import PRECISIONS
from ellopt.frontends.ell.read import read_model
from ellopt.targets import TARGETS
from ellopt.toolchains.ell.link import C_FOLDER
from tests.support.paths import DATA

#: GENERATOR_VERSION and the digest of what it generates; written by this test's message.
RECORD = DATA / "generator.json"
CHOICES = Choices((0, 2), (2, 3, 4, 5, 6, 42, 44), ("", "strassen", "strassen2", "8x12", "5x8"), PRECISIONS)


def digest() -> str:
    """A hash over the C sources, and over kernels and tables of a small model for every board. Weights are
    left out: their last bits are the machine's linear algebra's."""
    found = hashlib.sha256()
    for folder in (*C_FOLDERS, C_FOLDER):
        for path in sorted(folder.glob("*.[ch]")):
            found.update(path.name.encode() + path.read_bytes())
    network = lower(read_model(DATA / "tiny16.ell"))
    for target in TARGETS.values():
        if target.cpu is None:
            continue
        variants = []
        for step in network.convolutions:
            site = site_of(network, step, target.cpu, target.cores)
            row: dict[str, Variant] = {}
            for name in method_names():
                for options in find_method(name).combinations(True, CHOICES):
                    best = canonical(step.shape, options, target.cpu, target.cores)
                    if best is not None:
                        variant = Variant(kernel_for(site, best))
                        row[variant.identity] = variant
                        found.update(variant.kernel.source("k").encode())
            variants.append(list(row.values()))
        found.update(emit_network(network, variants, WeightFile(io.BytesIO())).encode())
    return found.hexdigest()


def test_generated_code_changes_only_with_its_version() -> None:
    now = {"version": GENERATOR_VERSION, "digest": digest()}
    before = json.loads(RECORD.read_text())
    assert now == before, (
        f"generated code is not that of version {before['version']}: raise GENERATOR_VERSION if it changed in "
        f"meaning or speed, and write this to {RECORD}: {json.dumps(now)}"
    )
