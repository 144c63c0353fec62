"""What models are called, whatever their files are called."""

from __future__ import annotations

import ast
import shlex
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ellopt.frontends.discover import discover
from ellopt.model.names import LONGEST, safe_name

#: any name that a POSIX file system takes, as Python shows it: also bytes that are no UTF-8
FILE_NAMES = (
    st.binary(min_size=1, max_size=200)
    .map(lambda raw: raw.replace(b"/", b"").replace(b"\0", b""))
    .filter(lambda raw: raw not in (b"", b".", b".."))
    .map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
TEXTS = st.text(max_size=200)
NASTY = (
    "..",
    ".",
    "",
    "-rf",
    "a b",
    'a"b',
    "a\nb",
    "$(id)",
    "`id`",
    '"""',
    "*/",
    "@x@",
    "сеть",
    "网",
    "con",
    "aux.x",
    "a.",
)


@given(FILE_NAMES | TEXTS | st.sampled_from(NASTY))
def test_a_safe_name_is_a_plain_word_everywhere(text: str) -> None:
    name = safe_name(text)
    assert 1 <= len(name) <= LONGEST
    assert name.isascii()
    assert name.isprintable()
    assert shlex.split(name) == [name] == shlex.quote(name).split()
    assert not name.startswith((".", "-"))
    assert ast.literal_eval(f'"""{name}"""') == name
    assert Path("folder", name).resolve().parent == Path("folder").resolve()
    assert safe_name(name) == name


@given(st.lists(FILE_NAMES | TEXTS | st.sampled_from(NASTY), unique=True, max_size=30))
def test_two_texts_are_two_names(texts: list[str]) -> None:
    assert len({safe_name(text) for text in texts}) == len(texts)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}[0-9_]", fullmatch=True).filter(lambda t: "." not in t))
@example("cnn64")
@example("resnet-18_v1.5")
def test_ordinary_names_stay(text: str) -> None:
    assume(text.lower()[:3] not in ("com", "lpt"))  # with a digit behind them, devices on Windows
    assert safe_name(text) == text


@given(st.sets(FILE_NAMES.filter(lambda name: len(name.encode("utf-8", "surrogateescape")) < 200), max_size=8))
def test_models_of_any_names_get_folders_of_their_own(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names:
            (root / f"{name}.ell").touch()
        (root / ".ell").touch()
        (root / "...ell").touch()
        files = discover(root)
        assert len(files) == len(names) + 2 - len(names & {"", ".."})
        tags = [file.tag for file in files]
        assert len({tag.casefold() for tag in tags}) == len(files)
        out = root / "out"
        assert all((out / tag).resolve().parent == out.resolve() for tag in tags)
        for file in files:
            assert file in discover(root, [file.name])


def test_a_model_is_picked_by_the_name_of_its_file_and_by_the_one_that_was_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "my net.ell").touch()
    (file,) = discover(tmp_path, ["my net"])
    assert file.name != "my net"
    assert discover(tmp_path, [file.name]) == [file]


def test_a_changed_name_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "my net.ell").touch()
    with caplog.at_level("INFO"):
        (file,) = discover(tmp_path)
    assert f"my net.ell is called {file.name}" in caplog.text
