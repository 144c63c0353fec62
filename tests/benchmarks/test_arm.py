"""The arithmetic of the benchmark of simulated processors, what it asks for, and what it says of boards."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.arm import OWN, Run, main, ratios
from benchmarks.arm_simulator import TARGETS, wrapper
from benchmarks.arm_userland import NotHere, Userland, make_userland, processor_files
from ellopt.app.estimating import make_simulator
from ellopt.estimate.cores import core_of
from ellopt.targets import find_target
from tests.support.simulated import needs_qemu


def run(runtime: str, cycles: float, model: str = "a", target: str = "pi5") -> Run:
    return Run(model, target, runtime, cycles, 10, 20, 3200, 16)


def test_a_ratio_is_the_best_peer_of_the_same_model_and_target_over_ours() -> None:
    runs = [run(OWN, 400), run("ncnn", 600), run("mnn", 500), run("ncnn", 100, target="pi3_64"), run(OWN, 9, "b")]
    [ratio] = ratios(runs)
    assert (ratio.model, ratio.target, ratio.best_peer, ratio.value) == ("a", "pi5", "mnn", 1.25)
    assert runs[0].share_of_peak == 0.5


def test_a_ratio_is_of_float32_on_both_sides() -> None:
    [ratio] = ratios([run(OWN, 400), run("mnn", 500), run("mnn-float16", 300)])
    assert (ratio.best_peer, ratio.value) == ("mnn", 1.25)


@pytest.mark.parametrize(("target", "part", "half"), [("pi3_64", "0xd03", False), ("pi5", "0xd0b", True)])
def test_a_board_says_what_it_is(target: str, part: str, half: bool) -> None:
    core = core_of(find_target(target))
    files = processor_files(core)
    told = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", files["proc/cpuinfo"], re.MULTILINE))
    assert (told["CPU part"], told["processor"]) == (part, "3")
    assert ("asimdhp" in told["Features"].split()) is half
    sizes = {text.strip() for name, text in files.items() if name.endswith("cpu0/cache/index2/size")}
    assert sizes == {f"{core.memory.l2_kb}K"}


@needs_qemu
@pytest.mark.parametrize("target", TARGETS)
def test_a_runtime_sees_the_features_of_the_core(target: str) -> None:
    simulator = make_simulator(find_target(target, 1), calibrated=False)
    words = wrapper(simulator)
    emulator = words[words.index("-cpu") - 1]
    known = subprocess.run([emulator, "-cpu", "help"], capture_output=True, text=True, timeout=60).stdout.split()
    assert words[words.index("-cpu") + 1] == (simulator.core.name if simulator.core.name in known else "max")


def test_a_view_shows_the_files_of_the_root_beside_the_boards(tmp_path: Path) -> None:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/python3.11").touch()
    userland = Userland(tmp_path / "root", tmp_path / "sites")
    view = userland.view(core_of(find_target("pi4_64")))
    assert (view / "usr/bin/python3.11").exists()
    assert "0xd08" in (view / "proc/cpuinfo").read_text()
    assert userland.python.name == "python3.11"


def test_the_version_of_a_runtime_is_that_of_its_wheel(tmp_path: Path) -> None:
    userland = Userland(tmp_path, tmp_path / "sites")
    for name in ("numpy-2.4.6.dist-info", "ai_edge_litert-2.3.0.dist-info"):
        (tmp_path / "sites/litert" / name).mkdir(parents=True)
    assert userland.version("litert") == "2.3.0"


def test_without_packages_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="apt-get"):
        make_userland(tmp_path / "keep")


@pytest.mark.parametrize("wrong", [("--targets", "pi0"), ("--runtimes", "abacus")])
def test_what_it_does_not_know_is_refused(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(list(wrong))
    assert wrong[1] in capsys.readouterr().err
