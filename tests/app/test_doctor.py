"""``doctor`` finds the compiler and the emulator that a tuning would use, not others of the same name."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.app.doctor import Finding, basic_findings, no_board_finding
from ellopt.cli.main import main
from ellopt.devices.emulator import find_qemu
from ellopt.targets import TARGETS, find_target
from ellopt.toolchains.zig import zig_command
from tests.support.paths import REPOSITORY

WORKS, BROKEN = True, False
BOARD = find_target("pi3_64")
FIRST_FINDING = """
import sys
from pathlib import Path
from ellopt.app.doctor import basic_findings
from ellopt.targets import find_target
found = next(basic_findings(find_target("host"), Path(sys.argv[1])))
print(found.subject, found.state, found.detail.replace("\\n", " "), sep="\\n")
"""


def script(path: Path, real: str, works: bool) -> Path:
    """A program that does what ``real`` does, or nothing but fail."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} "$@"\n' if works else "#!/bin/sh\necho broken >&2; exit 7\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("binary", "module"), [(WORKS, BROKEN), (BROKEN, WORKS)])
def test_the_compiler_is_the_one_that_tunings_use(tmp_path: Path, binary: bool, module: bool) -> None:
    """A package whose binary and whose ``python -m ziglang`` differ: tunings start the binary."""
    package = tmp_path / "packages" / "ziglang"
    zig = script(package / "zig", zig_command()[0], binary)
    (package / "__init__.py").touch()
    started = f"import os, sys\nos.execv({zig_command()[0]!r}, ['zig', *sys.argv[1:]])\n"
    (package / "__main__.py").write_text(started if module else "raise SystemExit(7)\n")
    done = subprocess.run(
        [sys.executable, "-c", FIRST_FINDING, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), str(REPOSITORY)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    subject, state, detail = done.stdout.splitlines()
    assert (subject, state) == ("compiler for host", "ok" if binary else "failed")
    assert (str(zig) if binary else "broken") in detail


def found_with(path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    monkeypatch.setenv("PATH", f"{path}:/nowhere")
    return {finding.subject.split()[0]: finding for finding in basic_findings(BOARD, output)}


def test_an_emulator_that_is_there_but_runs_nothing_is_no_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = find_qemu(BOARD)
    script(tmp_path / "broken" / BOARD.qemu, qemu, BROKEN)
    found = found_with(tmp_path / "broken", tmp_path, monkeypatch)
    assert found["compiler"].state == "ok"
    assert (found["emulator"].state, found["estimates"].state) == ("warning", "warning")


def test_a_static_emulator_runs_programs_but_makes_no_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = script(tmp_path / "static" / f"{BOARD.qemu}-static", find_qemu(BOARD), WORKS)
    found = found_with(tmp_path / "static", tmp_path, monkeypatch)
    assert found["emulator"].state == "ok"
    assert str(static) in found["emulator"].detail
    assert found["estimates"].state == "warning"
    assert "not on the PATH" in found["estimates"].detail


def test_all_is_well_where_both_are_there(tmp_path: Path) -> None:
    found = {finding.subject: finding.state for finding in basic_findings(BOARD, tmp_path)}
    assert [found[f"{what} for pi3_64"] for what in ("compiler", "emulator", "estimates")] == ["ok"] * 3


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if not target.is_host])
def test_without_a_board_it_says_that_none_was_named_and_what_comes_next(name: str) -> None:
    found = no_board_finding(TARGETS[name])
    assert (found.subject, found.state) == ("boards", "warning")
    assert "none was named" in found.detail
    assert f"ellopt doctor --target {name} --ipaddress" in found.advice
    assert ("by estimate" in found.advice) == (name not in ("orangepi0", "aarch64"))


@pytest.mark.parametrize(("target", "told"), [("host", False), ("pi3_64", True)])
def test_the_command_says_so(target: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--target", target, "-o", str(tmp_path)]) == 0
    assert ("none was named" in capsys.readouterr().out) == told
