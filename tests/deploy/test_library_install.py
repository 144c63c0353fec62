"""Libraries in other people's builds: as a subproject, installed, by find_package and by pkg-config; whatever the
models' files are called."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.deploy.identifier import library_name
from ellopt.deploy.run import DeployedLibrary, compile_library
from ellopt.frontends.ell.read import read_model
from ellopt.targets import find_target
from ellopt.toolchains.zig import zig_command
from tests.support.paths import DATA

NET = DATA / "cases" / "fork_hang" / "net.ell"
#: names of files: an injection for each language, names that mean something, names that would meet
NAMES = (
    *('"""\nimport os; os._exit(9)\nr"""', "') message(FATAL_ERROR x) # */ $(exit 9)`exit 9` \\ \" #error"),
    *("ell", "math", "all", "Net", "net", "net-1", "net_1", "net_ell", "сеть"),
)
needs_cmake = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("make") and sys.platform == "linux"),
    reason="needs Linux, cmake and make",
)


@given(st.lists(st.text(max_size=60) | st.sampled_from(NAMES), unique=True, max_size=30))
def test_two_models_are_two_libraries(names: list[str]) -> None:
    made = [library_name(name) for name in names]
    assert len({name.upper() for name in made}) == len(names)
    assert all(name.isascii() and name.isidentifier() and name == name.lower() for name in made)
    assert [library_name(name) for name in made] == made


@pytest.mark.parametrize(
    "name", ["Net", "net-1", "math", "ell", "", " ", "1a", "a" * 80, "class", "сеть", "a\nb", "aux"]
)
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    if not name:
        return
    with pytest.raises(ConfigurationError, match="--name"):
        compile_library(read_model(NET), tmp_path / "out", find_target("host"), name=name)
    assert not (tmp_path / "out").exists()


def cmake(tmp_path: Path, source: Path, build: Path, *options: str, targets: Iterable[str] = ("all",)) -> str:
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\nexec {shlex.join(zig_command())} cc "$@"\n')
    compiler.chmod(0o755)
    command = ["cmake", "-G", "Unix Makefiles", f"-DCMAKE_C_COMPILER={compiler}", "-S", source, "-B", build, *options]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    for target in targets:
        made = subprocess.run(
            ["cmake", "--build", build, "--target", target], capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return said.stdout


def program(names: Iterable[str]) -> str:
    """Computes every library's output and prints its first value."""
    lines = ["#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"]
    lines += [f'#include "{name}.h"' for name in names]
    lines.append("int main(void) {\n    static float x[768], y[64];\n    for (int i = 0; i < 768; i++) x[i] = 1;")
    for name in names:
        lines.append(
            f"    {{ void *m = malloc({name.upper()}_MEMORY_BYTES);\n"
            f"      if ({name}_predict(m, {name.upper()}_MEMORY_BYTES, x, y)) return 1;\n"
            f'      printf("%.4f\\n", (double)sqrtf(y[0] * y[0])); free(m); }}'
        )
    return "\n".join(lines) + "\n    return 0;\n}\n"


@needs_cmake
def test_models_of_any_names_go_into_one_program(tmp_path: Path) -> None:
    """Compiled by the command line from files of such names, all built into one CMake project, all imported."""
    folder, project = tmp_path / 'a "b', tmp_path / "project"
    folder.mkdir()
    project.mkdir()
    made = []
    for number, name in enumerate(NAMES):
        path = folder / f"{name.replace('/', '|')}.ell"
        shutil.copy(NET, path)
        assert main(["compile", str(path), "-o", str(project / str(number))]) == 0
        made += [file.stem for file in (project / str(number)).glob("*.py")]
    assert len(set(made)) == len(NAMES)
    (project / "main.c").write_text(program(made))
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.11)\nproject(everything C)\n"
        + "".join(f"add_subdirectory({number})\n" for number in range(len(NAMES)))
        + f"add_executable(everything main.c)\ntarget_link_libraries(everything {' '.join(made)})\n"
    )
    cmake(tmp_path, project, tmp_path / "build")
    done = subprocess.run([tmp_path / "build" / "everything"], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == len(NAMES)
    assert len(set(done.stdout.split())) == 1
    assert not list((tmp_path / "build").rglob("*_example"))
    script = "import sys\nsys.path[:0] = sys.argv[1].split('|')\nimport math, string, types, numpy as np\n"
    script += f"for name in {made!r}:\n    y = __import__(name).predict(np.ones((16, 16, 3)))\n"
    script += "    assert abs(y.flat[0] - float(sys.argv[2])) < 1e-3\n"
    paths = "|".join(str(project / str(number)) for number in range(len(NAMES)))
    subprocess.run([sys.executable, "-c", script, paths, done.stdout.split()[0]], check=True, timeout=120)


@needs_cmake
def test_an_installed_library_is_found(net: DeployedLibrary, tmp_path: Path) -> None:
    """After an installation that was moved: find_package, static and shared, with and without a version."""
    cmake(
        tmp_path,
        net.directory,
        tmp_path / "build",
        f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'first'}",
        targets=("all", "install/fast"),
    )
    prefix = (tmp_path / "first").rename(tmp_path / "second place")
    shared = next(prefix.rglob("libnet.so"))
    assert sorted(path.name for path in shared.parent.glob("libnet.so*")) == [
        "libnet.so",
        "libnet.so.1",
        "libnet.so.1.0.0",
    ]
    assert shared.is_symlink()
    source = tmp_path / "consumer"
    source.mkdir()
    (source / "main.c").write_text(program(["net"]))
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.11)\nproject(consumer C)\nfind_package(net 1.0 REQUIRED)\n"
        "foreach(kind net shared)\n    add_executable(use_${kind} main.c)\n"
        "    target_link_libraries(use_${kind} net::${kind} m)\nendforeach()\n"
    )
    cmake(tmp_path, source, tmp_path / "build2", f"-DCMAKE_PREFIX_PATH={prefix}")
    outputs = [
        subprocess.run([tmp_path / "build2" / f"use_{kind}"], capture_output=True, text=True, check=True).stdout
        for kind in ("net", "shared")
    ]
    assert outputs[0] == outputs[1] != ""
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.11)\nproject(c C)\nfind_package(net 2.0)\n"
    )
    assert "net_FOUND" not in cmake(tmp_path, source, tmp_path / "build3", f"-DCMAKE_PREFIX_PATH={prefix}", targets=())
    cache = (tmp_path / "build3" / "CMakeCache.txt").read_text()
    assert "net_DIR:PATH=net_DIR-NOTFOUND" in cache


@needs_cmake
@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed (Debian package of that name)")
@pytest.mark.parametrize("installed", [True, False])
def test_pkg_config_finds_it(installed: bool, net: DeployedLibrary, tmp_path: Path) -> None:
    place = net.directory
    if installed:
        cmake(
            tmp_path,
            net.directory,
            tmp_path / "build",
            f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'usr'}",
            targets=("install",),
        )
        place = next((tmp_path / "usr").rglob("net.pc")).parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(place)}

    def ask(*words: str) -> str:
        command = ["pkg-config", *words, "net"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert ask("--modversion").strip() == "1.0.0"
    flags = shlex.split(ask("--cflags", "--libs"))
    (tmp_path / "main.c").write_text(program(["net"]))
    command = [*zig_command(), "cc", "main.c", *flags, "-lm", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    libraries = next(flag[2:] for flag in flags if flag.startswith("-L"))
    done = subprocess.run(
        [tmp_path / "program"],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.split()) == 1
