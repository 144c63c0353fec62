"""What the C functions answer to arguments that are wrong, and in a process that forked off."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.deploy.run import DeployedLibrary, compile_library
from ellopt.frontends.ell.read import read_model
from ellopt.targets import find_target
from tests.support.paths import DATA

NET = DATA / "cases" / "fork_hang" / "net.ell"
X = np.ones((16, 16, 3), np.float32)


class Native:
    """The functions of a library as C sees them."""

    def __init__(self, library: DeployedLibrary) -> None:
        self._library = ctypes.CDLL(str(library.directory / f"lib{library.name}.so"))
        self._name = library.name
        header = (library.directory / f"{library.name}.h").read_text()
        found = re.findall(rf"{library.name.upper()}_(?:ERROR_)?(\w+) = (\d+)", header)
        self.codes = {name: int(number) for name, number in found}
        self.output_size = int(re.search(r"_OUTPUT_SIZE (\d+)", header)[1])  # type: ignore[index]

    def memory_bytes(self, threads: int) -> int:
        function = self._library[f"{self._name}_memory_bytes"]
        function.restype = ctypes.c_size_t
        return int(function(threads))

    def pool_create(self, threads: int) -> tuple[int, int | None]:
        pool = ctypes.c_void_p(1)
        return self._library[f"{self._name}_pool_create"](threads, ctypes.byref(pool)), pool.value

    def pool_destroy(self, pool: int | None) -> int:
        return int(self._library[f"{self._name}_pool_destroy"](ctypes.c_void_p(pool)))

    def predict(self, memory: int | None, size: int, pool: int | None, x: int | None, y: int | None) -> int:
        function = self._library[f"{self._name}_predict_parallel"]
        pointers = (ctypes.c_void_p(p) for p in (pool, x, y))
        return int(function(ctypes.c_void_p(memory), ctypes.c_size_t(size), *pointers))

    def text(self, code: int) -> str:
        function = self._library[f"{self._name}_error_text"]
        function.restype = ctypes.c_char_p
        return str(function(code).decode())


@pytest.fixture(scope="module")
def native(net: DeployedLibrary) -> Native:
    return Native(net)


def test_every_code_has_a_text_of_its_own(native: Native) -> None:
    assert native.codes["OK"] == 0
    assert len({native.text(code) for code in native.codes.values()}) == len(native.codes) == 7
    assert native.text(99) == native.text(-1) != native.text(0)


@given(st.data())
def test_wrong_arguments_are_answered_by_their_code(native: Native, data: st.DataObject) -> None:
    """Any combination: the answer is OK if all is right, else the code of something that is wrong, and no write."""
    needed = native.memory_bytes(1)
    size = data.draw(st.sampled_from((0, 1, needed - 1, needed, needed + 100, 2**63, 2**64 - 1)))
    memory = np.full(needed + 100, 0xA5, np.uint8)
    values, result = np.zeros(768 * 4 + 8, np.uint8), np.full(native.output_size * 4 + 8, 0xA5, np.uint8)
    x = data.draw(st.sampled_from((None, values.ctypes.data, values.ctypes.data + 1)))
    y = data.draw(st.sampled_from((None, result.ctypes.data, result.ctypes.data + 2)))
    place = data.draw(st.sampled_from((None, memory.ctypes.data, memory.ctypes.data + 1)))
    strange = np.zeros(1024, np.uint8)  # no pool
    pool = data.draw(st.sampled_from((None, strange.ctypes.data, (strange.ctypes.data + 63) // 64 * 64)))
    wrong = set()
    if None in (x, y, place) or (x is not None and x % 4) or (y is not None and y % 4):
        wrong.add(native.codes["POINTER"])
    if size < needed or size > 2**63 - 1:  # no object in C is larger
        wrong.add(native.codes["MEMORY"])
    if pool is not None:
        wrong.add(native.codes["POOL"])
    if not wrong and place is not None and place + size > memory.ctypes.data + memory.size:
        size -= 1
    answer = native.predict(place, size, pool, x, y)
    assert answer in (wrong or {0})
    if answer:
        assert (memory == 0xA5).all()
        assert (result == 0xA5).all()


@given(st.integers(-(2**31), 2**31 - 1) | st.sampled_from((-1, 0, 1, 1024, 1025, 100_000)))
def test_memory_is_told_for_numbers_of_threads_that_can_be(native: Native, threads: int) -> None:
    found = native.memory_bytes(threads)
    assert (found >= native.memory_bytes(1)) if 1 <= threads <= 1024 else found == 0


@pytest.mark.parametrize("threads", [100_000, 1025, 2**31 - 1, 0, -5])
def test_a_pool_that_cannot_be_is_refused(native: Native, threads: int) -> None:
    assert native.pool_create(threads) == (native.codes["THREADS"], None)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_threads_that_the_system_does_not_give_are_an_error(net: DeployedLibrary) -> None:
    """With little address space, some of 1000 threads cannot be started: none stays."""
    program = (
        "import resource, sys, os; sys.path.insert(0, sys.argv[1]); import net\n"
        "model = net.Model(threads=1)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * os.sysconf('SC_PAGESIZE')\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)\n"
        "try:\n    net.Model(threads=1000)\n"
        "except RuntimeError as error:\n    print(error, len(os.listdir('/proc/self/task')))\n"
    )
    command = [sys.executable, "-c", program, str(net.directory)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    assert "not so many threads 1" in done.stdout.replace("\n", "")


def test_a_pool_is_its_librarys_own(native: Native, net: DeployedLibrary, tmp_path: Path) -> None:
    other = Native(compile_library(read_model(NET), tmp_path, find_target("host"), name="other"))
    code, pool = other.pool_create(2)
    assert (code, native.pool_destroy(pool)) == (0, native.codes["POOL"])
    memory = np.zeros(native.memory_bytes(2), np.uint8)
    y = np.zeros(native.output_size, np.float32)
    arguments = (memory.ctypes.data, memory.size, pool, X.ctypes.data, y.ctypes.data)
    assert native.predict(*arguments) == native.codes["POOL"]
    assert other.predict(*arguments) == 0
    assert other.pool_destroy(pool) == 0


def test_memory_for_fewer_threads_is_too_small(tmp_path: Path) -> None:
    """A model whose parallel layers need memory for each thread."""
    model = read_model(DATA / "tiny16.ell")
    native = Native(compile_library(model, tmp_path, find_target("host"), name="tiny"))
    code, pool = native.pool_create(8)
    assert code == 0
    sizes = [native.memory_bytes(threads) for threads in range(1, 9)]
    memory, y = np.zeros(sizes[-1], np.uint8), np.zeros(5, np.float32)
    answers = [native.predict(memory.ctypes.data, size, pool, X.ctypes.data, y.ctypes.data) for size in sizes]
    assert answers == [0 if size >= sizes[-1] else native.codes["MEMORY"] for size in sizes]
    assert native.pool_destroy(pool) == 0


FORKS = {
    "close": "y = model.predict(x); model.close(); os._exit(int((y != expected).any()))",
    "interpreter exit": "sys.exit(0)",
    "another pool": "m = net.Model(threads=2); y = m.predict(x); m.close(); os._exit(int((y != expected).any()))",
    "fork again": "pid = os.fork(); model.predict(x); model.close(); os._exit(pid and os.waitpid(pid, 0)[1])",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("body", FORKS.values(), ids=FORKS)
def test_a_process_that_forked_off_computes_and_ends(net: DeployedLibrary, body: str) -> None:
    """Whatever the pool did at that moment: its threads run, wait or sleep. The parent's pool goes on working."""
    program = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1]); import net, numpy as np\n"
        "x = np.ones((16, 16, 3), np.float32)\n"
        "model = net.Model(threads=3); expected = model.predict(x)\n"
        "for i in range(20):\n"
        "    model.predict(x)\n"
        "    time.sleep(i % 4 * 1e-4)\n"
        "    child = os.fork()\n"
        f"    if child == 0:\n        {body}\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert (model.predict(x) == expected).all()\n"
        "model.close()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(net.directory)], timeout=60, check=True)
