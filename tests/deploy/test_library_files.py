"""Whose files a library may overwrite, and what modes its files have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from ellopt.cli.main import main
from ellopt.deploy.manifest import require_ours, write_files
from ellopt.deploy.run import DeployedLibrary, RunSettings, predict
from ellopt.files.disk import Disk, using
from ellopt.frontends.ell.read import read_model
from tests.support.paths import DATA

NET = DATA / "cases" / "fork_hang" / "net.ell"


def texts(directory: Path) -> dict[str, bytes]:
    """All but what compilers made, and what tells its size: that is not the same to the byte."""
    return {k: v for k, v in contents(directory).items() if not k.startswith(("lib", "ellopt-library", "net.h"))}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_no_file_of_somebody_else_is_overwritten(
    net: DeployedLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of the library's files in turn: it is named, and nothing at all is written. Also in the current folder."""
    for number, name in enumerate(net.files):
        place = tmp_path / str(number)
        place.mkdir()
        (place / name).write_bytes(b"mine")
        monkeypatch.chdir(place)
        assert main(["compile", str(NET), "-o", "."]) == 2
        assert contents(place) == {name: b"mine"}
        said = capsys.readouterr().err
        assert name in said
        assert "--force" in said


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_and_a_folder_in_the_way_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "main.c").symlink_to(tmp_path / "nowhere")
    assert main(["compile", str(NET), "-o", str(tmp_path)]) == 2
    assert (tmp_path / "main.c").is_symlink()
    (tmp_path / "main.c").unlink()
    (tmp_path / "net.h").mkdir()
    assert main(["compile", str(NET), "-o", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["net.h"]


def test_its_own_files_are_written_again_unless_somebody_changed_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compile", str(NET), "-o", str(tmp_path)]
    assert main(command) == 0
    before = texts(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "main.c").unlink()
    assert main(command) == 0
    assert texts(tmp_path) == {**before, "notes.txt": b"mine"}
    with (tmp_path / "main.c").open("a") as file:
        file.write("/* my change */\n")
    assert main(command) == 2
    assert "main.c" in capsys.readouterr().err
    assert b"my change" in (tmp_path / "main.c").read_bytes()
    assert main([*command, "--name", "another"]) == 2
    assert main([*command, "--force"]) == 0
    assert texts(tmp_path) == {**before, "notes.txt": b"mine"}


class FailingDisk(Disk):
    """Fails from the n-th rename on."""

    def __init__(self, renames: int) -> None:
        self._left = renames

    def replace(self, source: Path, target: Path) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError("no space left")
        super().replace(source, target)


def test_a_command_that_was_cut_off_can_be_given_again(tmp_path: Path) -> None:
    """Wherever it ended: what it had written, and what it had not, is its own."""
    names = ("a", "b", "c")
    old, new = ({name: f"{name} {version}".encode() for name in names} for version in (1, 2))
    for renames in range(len(names) + 2):
        place = tmp_path / str(renames)
        place.mkdir()
        write_files(place, "net", old, {"link": "a"})
        for _ in range(3):
            with using(FailingDisk(renames)), pytest.raises(OSError):
                write_files(place, "net", new, {"link": "a"})
            require_ours(place, "net", (*names, "link"))
        write_files(place, "net", new, {"link": "a"})
        require_ours(place, "net", (*names, "link"))
        assert {name: (place / name).read_bytes() for name in names} == new
        assert (place / "link").read_bytes() == new["a"]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_modes_follow_the_umask(mask: int, tmp_path: Path) -> None:
    previous = os.umask(mask)
    try:
        assert main(["compile", str(NET), "-o", str(tmp_path / "out")]) == 0
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~mask
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {0o666 & ~mask}


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_what_is_kept_for_the_next_run_follows_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        predict(read_model(NET), np.zeros((16, 16, 3), np.float32), RunSettings(directory=tmp_path / "kept"))
    finally:
        os.umask(previous)
    found = [tmp_path / "kept", *(tmp_path / "kept").rglob("*")]
    assert len(found) > 5
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & ~0o111 != 0o640] == []
    assert [path for path in found if path.is_dir() and stat.S_IMODE(path.stat().st_mode) != 0o750] == []
