"""Log set-up: what reaches the terminal and the file, how large the file gets, and that secrets reach neither."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ellopt.cli import logs
from ellopt.cli.logs import BoundedFileHandler, TerminalHandler, configure
from ellopt.cli.messages import MessageSettings
from ellopt.core.errors import ConfigurationError

SECRET = "correct horse battery"
LOG = logging.getLogger("ellopt.anything")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, package = logging.getLogger(), logging.getLogger("ellopt")
    levels = root.level, package.level
    yield
    for handler in list(root.handlers):
        if isinstance(handler, (TerminalHandler, BoundedFileHandler)):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(levels[0])
    package.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("verbosity", "silence", "expected"),
    [
        ("WARNING", False, ["WARNING: c", "ERROR: d"]),
        ("DEBUG", False, ["DEBUG: a", "INFO: b", "WARNING: c", "ERROR: d"]),
        ("CRITICAL", False, []),
        ("DEBUG", True, ["ERROR: d"]),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], verbosity: str, silence: bool, expected: list[str]) -> None:
    configure(MessageSettings(verbosity, silence))
    LOG.debug("a")
    LOG.info("b")
    LOG.warning("c")
    LOG.error("d")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == expected
    assert captured.out == ""


def test_the_file_is_complete_whatever_the_terminal_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(MessageSettings("ERROR", logfile=tmp_path / "logs" / "run.log"))
    LOG.debug("a detail")
    logging.getLogger("someone.else").debug("chatter")
    text = (tmp_path / "logs" / "run.log").read_text(encoding="utf-8")
    assert "a detail" in text
    assert "chatter" not in text
    assert capsys.readouterr().err == ""


def test_appends_or_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    for mode, word in (("a", "one"), ("a", "two")):
        configure(MessageSettings(logfile=file, logmode=mode))
        LOG.info(word)
    assert "one" in file.read_text(encoding="utf-8")
    (tmp_path / "run.log.1").write_text("older")
    configure(MessageSettings(logfile=file, logmode="w"))
    LOG.info("three")
    assert "two" not in file.read_text(encoding="utf-8")
    assert not (tmp_path / "run.log.1").exists()


def test_secrets_reach_neither_terminal_nor_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(MessageSettings("DEBUG", logfile=tmp_path / "run.log"), secrets=(SECRET,))
    LOG.warning("password %s", SECRET)
    try:
        raise ValueError(f"rejected {SECRET}")
    except ValueError:
        LOG.exception("failed")
    shown = capsys.readouterr().err + (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "rejected" in shown
    assert SECRET not in shown


def test_the_log_stays_below_50_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(MessageSettings("CRITICAL", logfile=tmp_path / "run.log"))
    wide = "\N{SMILING FACE WITH SUNGLASSES}" * 400_000  # 1.6 MB each, and longer than a record may be
    for _ in range(120):
        LOG.info(wide)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == logs.OLDER_PARTS + 1  # it did rotate
    assert sum(sizes) <= 50_000_000
    assert max(sizes) < 10_000_000


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--logfile: .*cannot be written"):
        configure(MessageSettings(logfile=tmp_path))


def test_a_full_disk_costs_the_log_not_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(MessageSettings("WARNING", logfile=tmp_path / "run.log"))
    handler = next(h for h in logging.getLogger().handlers if isinstance(h, BoundedFileHandler))

    def full(record: logging.LogRecord) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handler, "shouldRollover", full)
    for _ in range(3):
        LOG.info("hello")
    errors = capsys.readouterr().err
    assert errors.count("cannot be written any more") == 1
    assert "Traceback" not in errors


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure(MessageSettings("INFO"))
    LOG.info("model \x1b]0;owned\x07 %s", "two\nlines")
    errors = capsys.readouterr().err
    assert "\x1b" not in errors
    assert "two\nlines" in errors
