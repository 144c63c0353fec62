"""Small bundles that every device of the tests can run, and what is left of them."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ellopt.devices.bundle import Bundle
from ellopt.targets import Target, find_target

# A stand-in for a bundle's runner that every test device can run: a shell script.
# Its first argument says what to do.
RUNNER = """#!/bin/sh
case $1 in
  answer) cat job data > result; echo "out $2"; echo "err $2" >&2; exit "${3:-0}" ;;
  hang) echo started > result; sleep 1000 & sleep 1000 ;;
  wait) until [ -e go ]; do sleep 0.1; done; cat job data > result ;;
  crash) kill -SEGV $$ ;;
  ignore) trap '' TERM INT HUP; while :; do sleep 1; done ;;
  stray) sleep 1000 & echo $! > result ;;
  pwd) pwd > result; ls -a > listing ;;
esac
"""


def script_bundle(directory: Path, target: Target | None = None, data: bytes = b"weights") -> Bundle:
    """A bundle whose runner is ``RUNNER``."""
    directory.mkdir(parents=True, exist_ok=True)
    runner = directory / "runner"
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    (directory / "data").write_bytes(data)
    digest = hashlib.sha256(RUNNER.encode() + data).hexdigest()[:32]
    return Bundle(directory, digest, ("runner", "data"), "test", target or find_target("host"), {})


def leftovers(directory: Path) -> list[str]:
    """What ellopt left on a board whose files are in ``directory``."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("ellopt-*"))


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A temporary directory, also where pytest's own would have too long a name."""
    with tempfile.TemporaryDirectory(prefix="boards-") as name:
        yield Path(name).resolve()
