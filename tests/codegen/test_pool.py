"""The pool of threads: every task once, no straggler, no leak, also when threads sleep in between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ellopt.codegen.sources import C_FOLDERS, c_file, c_text
from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler


def build(directory: Path, program: str, *flags: str) -> Path:
    compiler = Compiler(find_target("host"), C_FOLDERS, directory)
    sources = {"pool": c_text("ellopt_pool.c"), "program": program}
    objects = compiler.objects(sources, Deadline.after(300), flags)
    compiler.link(objects.values(), directory / "program", Deadline.after(300), flags)
    return directory / "program"


def beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


#: What runs many jobs, and many programs of many jobs; and how many of them a sanitizer is given.
STRESS = {"pool_stress.c": 20000, "pool_program.c": 3000}


@pytest.fixture(scope="module")
def stress(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp("pool"), beside(name)) for name in STRESS}


@pytest.mark.parametrize("threads", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("name", STRESS)
def test_every_task_runs_exactly_once(stress: dict[str, Path], name: str, threads: int) -> None:
    command = [stress[name], str(threads), str(STRESS[name])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n")


@pytest.mark.skipif(
    not (sys.platform == "linux" and (shutil.which("gcc") or os.environ.get("ELLOPT_NO_SKIP"))),
    reason="without gcc, the thread sanitizer takes minutes to set up: run on Linux with ELLOPT_NO_SKIP=1",
)
@pytest.mark.parametrize("name", STRESS)
def test_no_data_race(tmp_path: Path, name: str) -> None:
    if shutil.which("gcc"):
        program = tmp_path / "program"
        sources = [Path(__file__).with_name(name), c_file("ellopt_pool.c")]
        include = [f"-I{folder}" for folder in C_FOLDERS]
        command = ["gcc", "-O2", "-g", "-pthread", "-fsanitize=thread", *include, *sources, "-o", program]
        subprocess.run(command, timeout=120, check=True)
    else:
        program = build(tmp_path, beside(name), "-fsanitize=thread", "-g")
    done = subprocess.run(
        [program, "3", str(STRESS[name] // 10)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads are not bound to CPUs")
def test_workers_make_room_for_the_caller(tmp_path: Path) -> None:
    """Wherever the system has put the caller, no worker is bound to its CPU."""
    program = build(tmp_path, beside("pool_room.c"))
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_an_idle_pool_uses_no_time(tmp_path: Path) -> None:
    """Workers sleep: while nothing happens they take no processor time."""
    program = build(
        tmp_path,
        '#include <stdio.h>\n#include <time.h>\n#include <unistd.h>\n#include "ellopt_pool.h"\n'
        "static void task(const void *c, int i, int w) { (void)c, (void)i, (void)w; }\n"
        "int main(void) {\n"
        "    ell_pool *pool = ell_pool_create(4);\n"
        "    ell_pool_run(pool, task, 0, 100);\n"
        "    usleep(300000);\n"
        '    printf("%ld\\n", (long)(clock() * 1000 / CLOCKS_PER_SEC));\n'
        "    ell_pool_destroy(pool);\n"
        "    return 0;\n}\n",
    )
    started = time.monotonic()
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - started >= 0.3
    assert int(done.stdout) < 30, "milliseconds of processor time in 300 idle ones"
