"""What compilers made."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ellopt.deploy.manifest import LibraryManifest, require_ours, write_files
from ellopt.files.sealed import FileCache, is_whole, publish
from tests.support.crashes import Announce
from tests.support.keepers.base import Keeper

_FILES = {"net.h": b"new header\n", "libnet.a": b"archive " * 100, "libnet.so.1.0": b"shared " * 100}
_LINKS = {"libnet.so": "libnet.so.1.0"}
_CONTENT = {"runner": b"code" * 1000, "weights.bin": b"\1\2\3\4" * 1000}


class LibraryKeeper(Keeper):
    """What ``compile`` writes: after a crash the same command must not take its own files for somebody else's."""

    def prepare(self, place: Path) -> None:
        place.mkdir()
        old = {name: b"old" + data for name, data in _FILES.items()}
        write_files(place, "net", old, _LINKS)

    def work(self, place: Path, announce: Announce) -> None:
        require_ours(place, "net", (*_FILES, *_LINKS))
        write_files(place, "net", _FILES, _LINKS)
        announce("written")

    def kept(self, place: Path) -> set[str]:
        require_ours(place, "net", (*_FILES, *_LINKS))
        found = {name: (place / name).read_bytes() for name in _FILES}
        assert all(found[name] in (data, b"old" + data) for name, data in _FILES.items())
        return {"written"} if found == _FILES else set()

    def whole(self, place: Path) -> object:
        names = {path.name for path in place.iterdir() if not path.name.startswith(".")}
        assert (place / "libnet.so").read_bytes() == _FILES["libnet.so.1.0"]
        return self.kept(place), names, LibraryManifest.read(place)


class BundlesKeeper(Keeper):
    """Bundles and compiled objects: what is found is whole, what is not whole is made again."""

    def prepare(self, place: Path) -> None:
        (place / "objects").mkdir(parents=True)
        self._publish(place, "damaged")
        (place / "damaged" / "runner").write_bytes(b"")

    def work(self, place: Path, announce: Announce) -> None:
        cache = FileCache(place / "objects", ".o")
        for key in ("a1", "b2"):
            if key not in cache.find([key]):
                with tempfile.TemporaryDirectory(dir=place, prefix=".build-") as scratch:
                    made = Path(scratch) / "source.o"
                    made.write_bytes(key.encode() * 1000)
                    cache.add(key, made)
            announce(key)
        for name in ("new", "damaged"):
            if not is_whole(place / name):
                self._publish(place, name)
            announce(name)

    def _publish(self, place: Path, name: str) -> None:
        with tempfile.TemporaryDirectory(dir=place, prefix=".build-", ignore_cleanup_errors=True) as scratch:
            made = Path(scratch) / "bundle"
            made.mkdir()
            for file, data in _CONTENT.items():
                (made / file).write_bytes(data)
            publish(made, place / name)

    def kept(self, place: Path) -> set[str]:
        objects = FileCache(place / "objects", ".o").find(["a1", "b2"])
        assert all(path.read_bytes() == key.encode() * 1000 for key, path in objects.items())
        bundles = {name for name in ("new", "damaged") if is_whole(place / name)}
        for name in bundles:
            assert {file: (place / name / file).read_bytes() for file in _CONTENT} == _CONTENT
        return set(objects) | bundles
