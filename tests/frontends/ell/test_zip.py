"""Models in a zip: read in memory, within limits, and nothing that would escape."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.read import read_model
from ellopt.frontends.ell.zipped import read_zipped


def make(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zipped_model_is_read_and_nothing_is_unpacked(tmp_path: Path, tiny_path: Path, method: int) -> None:
    path = make(tmp_path / "t.ell.zip", {"sub/tiny16.ell": tiny_path.read_bytes(), "readme.txt": b"hello"}, method)
    model = read_model(path)
    assert model.name == "t"
    assert len(model.convolutions) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["t.ell.zip"]


@pytest.mark.parametrize(
    "name",
    ["../evil.ell", "a/../../evil.ell", "/etc/evil.ell", "..\\evil.ell", "\\evil.ell", "C:\\evil.ell", "c:evil.ell"],
)
def test_an_entry_that_would_escape_refuses_the_whole_zip(tmp_path: Path, tiny_path: Path, name: str) -> None:
    path = make(tmp_path / "t.ell.zip", {"good.ell": tiny_path.read_bytes(), name: b"{}"})
    with pytest.raises(ModelFormatError, match="outside its folder") as raised:
        read_zipped(path)
    assert str(path) in str(raised.value)


def test_dots_within_a_name_are_harmless(tmp_path: Path) -> None:
    assert read_zipped(make(tmp_path / "t.ell.zip", {"a..b/net..1.ell": b"{}"})) == b"{}"


@pytest.mark.parametrize("entries", [{}, {"a.txt": b"x"}, {"a.ell": b"{}", "b/c.ell": b"{}"}])
def test_there_must_be_exactly_one_model(tmp_path: Path, entries: dict[str, bytes]) -> None:
    with pytest.raises(ModelFormatError, match=r"exactly one \.ell file"):
        read_zipped(make(tmp_path / "t.ell.zip", entries))


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": bytes(30 << 20)})
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelFormatError, match="zip bomb"):
        read_zipped(path)


def test_a_small_zip_of_many_lists_is_refused_at_the_cost_of_its_text(tmp_path: Path) -> None:
    text = b'{"_type": "Map", "model": [' + b"[]," * 10_000_000 + b"1]}"
    with zipfile.ZipFile(tmp_path / "t.ell.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.ell", text)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match="objects and lists"):
            read_model(tmp_path / "t.ell.zip")
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text)
    finally:
        tracemalloc.stop()


def test_a_model_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": b" " * 5000}, zipfile.ZIP_STORED)
    assert len(read_zipped(path, max_bytes=5000)) == 5000
    with pytest.raises(ModelFormatError, match="more than 4999 bytes"):
        read_zipped(path, max_bytes=4999)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": bytes(8 << 20)})
    content = bytearray(path.read_bytes())
    true, small = struct.pack("<I", 8 << 20), struct.pack("<I", 10)
    assert content.count(true) >= 2
    path.write_bytes(content.replace(true, small))
    with pytest.raises(ModelFormatError):
        read_zipped(path)


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": b"{}"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="encrypted"):
        read_zipped(path)


def test_a_truncated_zip_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": tiny_path.read_bytes()})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelFormatError, match="cannot be read as a zip file"):
        read_zipped(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_zips_give_an_error_or_their_content(tmp_path: Path, data: st.DataObject) -> None:
    path = make(tmp_path / "t.ell.zip", {"a.ell": b'{"_type": "Map"}' * 20, "b.txt": b"x"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ModelFormatError):
        assert len(read_zipped(path)) <= 1 << 20
