"""Predicting, timing and deploying one model."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from ellopt.model.graph import Model
from ellopt.space.options_file import compile_options_json
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler, zig_command
from tests.support.paths import TINY


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(TINY)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(model: Model, values: np.ndarray) -> np.ndarray:
    return reference.predict(model, values)


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    first, second, third = (node.node_id for node in model.convolutions)
    return Plan.of(
        {
            first: ConvolutionOptions("winograd", True, 0, 2, 2),
            second: ConvolutionOptions("simple"),
            third: ConvolutionOptions("unrolled", True),
        }
    )


@pytest.fixture(scope="module")
def library(model: Model, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> deploy.DeployedLibrary:
    return deploy.compile_library(model, tmp_path_factory.mktemp("library") / "new", find_target("host"), plan)


def test_predict_with_a_plan_a_file_and_by_default(
    model: Model, values: np.ndarray, expected: np.ndarray, plan: Plan, tmp_path: Path
) -> None:
    options = tmp_path / "compile_options.json"
    options.write_text(compile_options_json(plan))
    for chosen in (plan, options, None):
        found = deploy.predict(model, values, deploy.RunSettings(chosen, directory=tmp_path / "bundles"))
        assert found.shape == (1, 1, 5)
        np.testing.assert_allclose(found.reshape(-1), expected, rtol=0, atol=1e-5)
    flat = deploy.predict(model, values.reshape(-1), deploy.RunSettings(directory=tmp_path / "bundles"))
    np.testing.assert_array_equal(flat, found)


@pytest.mark.parametrize("shape", [(3, 16, 16), (16, 16, 4), (767,), (1, 16, 16, 3)])
def test_an_input_of_another_shape_is_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="16x16x3"):
        deploy.predict(model, np.zeros(shape, np.float32))


def test_an_input_that_is_no_numbers_is_refused(model: Model) -> None:
    with pytest.raises(ConfigurationError, match="type"):
        deploy.predict(model, np.full((16, 16, 3), "x"))


def test_options_that_do_not_apply_fall_back(
    model: Model, values: np.ndarray, expected: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    everywhere = Plan.uniform([n.node_id for n in model.convolutions], ConvolutionOptions("winograd"))
    found = deploy.predict(model, values, deploy.RunSettings(everywhere, directory=tmp_path))
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=0, atol=1e-4)
    assert [r.args[0] for r in caplog.records if "does not apply" in r.message] == list(everywhere)[2:]


def test_bench_gives_raw_samples_of_a_fresh_process(model: Model, plan: Plan, tmp_path: Path) -> None:
    result = deploy.bench(model, deploy.RunSettings(plan, directory=tmp_path, threads=1), iterations=7)
    data = json.loads(json.dumps(result.to_json()))
    assert {"median_ms", "min_ms", "samples_ms", "threads", "peak_rss_mb"} <= set(data)
    assert len(data["samples_ms"]) == 7
    assert data["min_ms"] == min(data["samples_ms"]) <= data["median_ms"] == sorted(data["samples_ms"])[3]
    assert data["threads"] == 1
    # Smaller than this process, from which a child's peak would otherwise be inherited.
    assert 0 < data["peak_rss_mb"] < 20
    assert "7 on 1 thread;" in result.summary()


@pytest.mark.parametrize(("threads", "iterations"), [(-1, 5), (1, 0)])
def test_bench_refuses_impossible_numbers(model: Model, threads: int, iterations: int) -> None:
    with pytest.raises(ConfigurationError):
        deploy.bench(model, deploy.RunSettings(threads=threads), iterations=iterations)


def test_the_library_has_all_its_files(library: deploy.DeployedLibrary) -> None:
    assert set(os.listdir(library.directory)) == set(library.files)
    assert {"tiny16.h", "main.c", "CMakeLists.txt", "tiny16.py", "libtiny16.a"} <= set(library.files)
    header = (library.directory / "tiny16.h").read_text()
    assert f"#define TINY16_MEMORY_BYTES {library.memory_bytes}\n" in header
    assert "@" not in "".join((library.directory / f).read_text() for f in library.files if not f.startswith("lib"))
    assert any("KiB" in line for line in library.summary())


def test_the_example_prints_the_output(
    library: deploy.DeployedLibrary, values: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """Compiled as a user would, with no flag but those of the CMake file; -Wall says nothing."""
    command = [*zig_command(), "cc", "-Wall", "-Wextra", "-Werror", "-std=c99", "main.c", "libtiny16.a", "-lm"]
    subprocess.run([*command, "-lpthread", "-o", str(tmp_path / "example")], cwd=library.directory, check=True)
    (tmp_path / "input.bin").write_bytes(values.tobytes())
    done = subprocess.run([tmp_path / "example", "input.bin"], cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected, rtol=0, atol=1e-5)
    assert f"largest: output {expected.argmax()}" in done.stderr


@pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("make")),
    reason="cmake and make are not installed (Debian packages of these names)",
)
def test_the_cmake_file_builds_the_example(library: deploy.DeployedLibrary, tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\nexec {shlex.join(zig_command())} cc "$@"\n')
    compiler.chmod(0o755)
    build = tmp_path / "build"
    configure = [
        "cmake",
        "-G",
        "Unix Makefiles",
        f"-DCMAKE_C_COMPILER={compiler}",
        "-S",
        library.directory,
        "-B",
        build,
    ]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    done = subprocess.run([build / "tiny16_example"], check=True, capture_output=True, text=True)
    assert len(done.stdout.split()) == 5


def test_the_python_module_needs_only_its_folder(
    library: deploy.DeployedLibrary, values: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "in.npy", values)
    program = (
        "import numpy, sys, tiny16\n"
        "x = numpy.load(sys.argv[1])\n"
        "with tiny16.Model(threads=3) as model:\n"
        "    y = model.predict(x)\n"
        "    numpy.testing.assert_array_equal(y, model.predict(x.reshape(-1)))\n"
        "    try:\n"
        "        model.predict(x[1:])\n"
        "    except ValueError as error:\n"
        "        assert '(15, 16, 3)' in str(error)\n"
        "    else:\n"
        "        raise AssertionError\n"
        "numpy.testing.assert_allclose(y, tiny16.predict(x), atol=1e-6)\n"
        "numpy.save(sys.argv[2], y)\n"
    )
    copy = shutil.copytree(library.directory, tmp_path / "elsewhere")
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(copy)!r})\n{program}"]
    subprocess.run([*command, str(tmp_path / "in.npy"), str(tmp_path / "out.npy")], check=True)
    found = np.load(tmp_path / "out.npy")
    assert found.shape == (1, 1, 5)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=0, atol=1e-5)


def test_predict_is_reentrant_and_stays_in_its_memory(
    library: deploy.DeployedLibrary, model: Model, tmp_path: Path
) -> None:
    """Many threads at once, each with memory of its own that is as large as the header says and not a byte larger."""
    shared = next(library.directory / name for name in library.files if re.search(r"\.(so|dylib)$", name))
    native = ctypes.CDLL(str(shared))
    size = library.memory_bytes
    native.tiny16_memory_bytes.restype = ctypes.c_size_t
    assert native.tiny16_memory_bytes(1) == size
    assert native.tiny16_memory_bytes(library.threads) == library.memory_bytes_threads
    wrong: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, 768).astype(np.float32)
        wanted = reference.predict(model, x)
        y = np.zeros(5 + 16, np.float32)
        memory = np.full(size + 256, 0xA5, np.uint8)
        start = 64 + seed % 64  # any alignment will do
        for _ in range(50):
            place, *others = map(ctypes.c_void_p, (memory.ctypes.data + start, x.ctypes.data, y.ctypes.data))
            if native.tiny16_predict(place, ctypes.c_size_t(size), *others) != 0:
                wrong.append(f"{seed}: code")
            if np.abs(y[:5] - wanted).max() > 1e-5:
                wrong.append(f"{seed}: output")
        if not (memory[:start] == 0xA5).all() or not (memory[start + size :] == 0xA5).all() or y[5:].any():
            wrong.append(f"{seed}: memory")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_two_libraries_fit_into_one_program(
    library: deploy.DeployedLibrary, model: Model, plan: Plan, tmp_path: Path
) -> None:
    """No name of one model's library is also one of another's."""
    other = Model(model.path, "7-other", model.nodes, model.options, model.source)
    second = deploy.compile_library(other, tmp_path, find_target("host"), plan)
    assert second.name.startswith("model_7_other_")
    (tmp_path / "both.c").write_text(
        f'#include <string.h>\n#include "tiny16.h"\n#include "{second.name}.h"\n'
        "static char memory[TINY16_MEMORY_BYTES];\n"
        "int main(void) {\n"
        "    static float x[TINY16_INPUT_SIZE], a[5], b[5];\n"
        "    for (int i = 0; i < TINY16_INPUT_SIZE; i++) x[i] = (float)(i % 17) / 17;\n"
        "    if (tiny16_predict(memory, sizeof memory, x, a)) return 2;\n"
        f"    if ({second.name}_predict(memory, sizeof memory, x, b)) return 3;\n"
        "    return memcmp(a, b, sizeof a) != 0 || a[0] == 0;\n}\n"
    )
    command = [*zig_command(), "cc", f"-I{library.directory}", "both.c", f"lib{second.name}.a"]
    command += [str(library.directory / "libtiny16.a"), "-lm", "-lpthread", "-o", "both"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "both"], check=True)


def test_a_library_for_a_board_is_made_for_its_c_library(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linking for boards sets up a C library for a minute; here it is left out."""
    linked: list[tuple[str, ...]] = []

    def link(self: Compiler, objects: object, output: Path, *_: object) -> None:
        linked.append(self.flags)
        output.touch()

    monkeypatch.setattr(Compiler, "link", link)
    library = deploy.compile_library(model, tmp_path, find_target("pi3_64"))
    assert linked == [("-target", "aarch64-linux-gnu.2.28", "-mcpu=cortex_a53")]
    subprocess.run([*zig_command(), "ar", "x", "libtiny16.a"], cwd=tmp_path, check=True)
    members = list(tmp_path.glob("*.o"))
    assert len(members) > 4
    assert all(member.read_bytes()[18] == 183 for member in members)  # EM_AARCH64
    assert library.threads == 4


def test_a_directory_that_cannot_be_written_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file"):
        deploy.compile_library(model, tmp_path / "file" / "below", find_target("host"))


def test_a_predictor_is_a_function_of_an_image(values: np.ndarray, expected: np.ndarray) -> None:
    predict = deploy.load_predictor(TINY, threads=2)
    for _ in range(2):
        np.testing.assert_allclose(predict(values).reshape(-1), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigurationError):
        predict(values[1:])
