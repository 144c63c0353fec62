"""The macros of kernels: Python defines what ``kernel_macros.h`` declares, and nothing undefined is compared."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.codegen.convolution.kernel import FUSED, Kernel, KernelSite
from ellopt.codegen.sources import C_FOLDERS, c_text
from ellopt.core.methods import Choices, find_method, method_names
from ellopt.core.options import PRECISIONS
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import CPUS, TARGETS
from ellopt.toolchains.ell.link import C_FOLDER
from ellopt.toolchains.zig import compile_flags, cpu_of, zig_command
from tests.support.kernels import INCLUDES, plain_site

CHOICES = Choices((0, 2), (2, 4, 42, 44), ("", "strassen", "strassen2"), PRECISIONS)
CONTRACT = c_text("kernel_macros.h")
PROSE, CHECKS = CONTRACT.split("*/", 1)
DECLARED = frozenset(re.findall(r"^ \*   ([A-Z_]+(?:, [A-Z_]+)*)  ", PROSE, re.M))
NAMES = frozenset(name for names in DECLARED for name in names.split(", "))


def kernels() -> Iterator[Kernel]:
    """Those of every method for a plain and a depthwise layer of every processor."""
    for depthwise in (False, True):
        for cpu in CPUS.values():
            site = replace(plain_site(12, 12, 64, 64, depthwise), cpu=cpu, cores=2)
            shape = ConvolutionShape(12, 12, 64, 64, 3, 1, 1, depthwise, 12, 12)
            for name in method_names():
                for options in find_method(name).combinations(True, CHOICES):
                    best = canonical(shape, options, cpu, 2)
                    if best is not None:
                        yield kernel_for(site, best)


BY_TEMPLATE = {str(kernel.template): kernel for kernel in kernels()}


def preprocess(text: str, *flags: str) -> str:
    """What the preprocessor says of ``text``."""
    command = [*zig_command(), "cc", *flags, *INCLUDES, "-E", "-ferror-limit=0", "-x", "c", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False).stderr


def test_the_contract_declares_what_it_checks_and_python_defines_what_it_declares() -> None:
    emitted = {"KERNEL_NAME", *(name for kernel in kernels() for name, _ in kernel.macros)}
    assert emitted == NAMES
    assert set(re.findall(r"!defined ([A-Z_]+)", CHECKS)) == NAMES


@pytest.mark.parametrize("template", sorted(BY_TEMPLATE))
def test_every_macro_that_a_template_is_given_is_missed_by_name(template: str) -> None:
    named = set(re.findall(r'error: "?([A-Z_]+): ', preprocess(f'#include "{template}"\n')))
    given = {name for name, _ in BY_TEMPLATE[template].macros}
    assert named >= (given | {"KERNEL_NAME"}) - {"VECTOR_WIDTH"}, "VECTOR_WIDTH alone has a default"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"out_rows": 0}, "OUT_ROWS"),
        ({"in_pixel_stride": 63}, "IN_PIXEL_STRIDE"),
        ({"stride": -1, "column_stride": 1}, "STRIDE"),
    ],
)
def test_a_value_out_of_range_is_named(change: dict[str, int], name: str) -> None:
    site: KernelSite = replace(plain_site(12, 12, 64, 64), **change)
    kernel = BY_TEMPLATE["conv_simple.h"]
    changed = replace(kernel, macros=tuple(sorted(site.macros.items())))
    assert re.findall(r'error: "?([A-Z_]+): ', preprocess(changed.source("k"))) == [name]


def test_every_function_that_is_fused_is_within_the_contract() -> None:
    kernel = BY_TEMPLATE["conv_simple.h"]
    for name in FUSED:
        site = replace(plain_site(12, 12, 64, 64), activation=name)
        changed = replace(kernel, macros=tuple(sorted(site.macros.items())))
        assert "error" not in preprocess(changed.source("k")), name


def test_what_caches_hold_is_asked_of_the_table_of_processors() -> None:
    """Not of the compiler: its macros say what instructions there are."""
    large = {cpu.name for cpu in CPUS.values() if cpu.large_caches}
    assert large == {name for name in CPUS if name.startswith("x86-64")}
    for target in TARGETS.values():
        assert f"-DELL_LARGE_CACHES={int(cpu_of(target).large_caches)}" in compile_flags(target)
    asking = {path.name for folder in C_FOLDERS for path in folder.glob("*.[ch]") if "__x86_64__" in path.read_text()}
    assert asking == {"library_cpu.h", "ellopt_pool.c"}, "which instructions there are"


@pytest.mark.parametrize("target", ["host", "pi0", "pi3", "pi5", "aarch64"])
def test_no_c_of_ours_compares_what_is_not_defined(target: str) -> None:
    files = sorted(path for folder in (*C_FOLDERS, C_FOLDER) for path in folder.glob("*.c"))
    flags = (*compile_flags(TARGETS[target]), "-Werror=undef", f"-I{C_FOLDER}")
    assert "-Wundef" in flags
    for path in files:
        said = preprocess(path.read_text(encoding="utf-8"), *flags)
        assert "error" not in said, f"{path.name}: {said}"
    for kernel in BY_TEMPLATE.values():
        said, cpu = preprocess(kernel.source("k"), *flags), TARGETS[target].cpu
        if dict(kernel.macros).get("HALF_TERMS") and not (cpu and cpu.half_lanes):
            assert re.findall(r'error: "?([^"]*)', said) == ["float16: the compiler's target has no arithmetic for it"]
        else:
            assert "error" not in said, kernel.template
