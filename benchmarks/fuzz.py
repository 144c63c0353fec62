"""Damages files that ellopt reads, guided by coverage (atheris): each read ends in a value or in an error of ours.

``python -m benchmarks.fuzz --runs 20000 --json`` fuzzes every reader in a process of its own; a reader that raises
anything else leaves the input beside the report and ends with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ellopt"]):
    from ellopt.core.errors import ElloptError
    from ellopt.frontends.ell.profile import read_report
    from ellopt.frontends.ell.read import read_model
    from ellopt.model.describe import describe
    from ellopt.report.document import TuningReport
    from ellopt.space.options_file import read_compile_options
    from ellopt.space.space import SearchSpace
    from ellopt.toolchains.native.bundle import MANIFEST, Manifest
    from ellopt.tracking.outbox import Reader

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "experiments" / "quickstart"
_SEED_BYTES = 200_000


def _model(path: Path) -> object:
    return describe(read_model(path))


def _manifest(path: Path) -> object:
    path.replace(path.with_name(MANIFEST))
    return Manifest.read(path.parent)


def _outbox(path: Path) -> object:
    return Reader(path.parent).read()


#: Reader -> (the file's name, how it is read).
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "model": ("m.ell", _model),
    "zip": ("m.ell.zip", _model),
    "search space": ("s.json", SearchSpace.load),
    "compile options": ("compile_options.json", read_compile_options),
    "tuning report": ("tuning_report.json", TuningReport.load),
    "profile report": ("profile_report.txt", read_report),
    "bundle manifest": ("read.json", _manifest),
    "outbox": ("records.jsonl", _outbox),
}


def read_once(name: str, folder: Path, content: bytes) -> None:
    """Read ``content`` as a file of the reader's kind; raises what is no error of ours."""
    file, read = READERS[name]
    (folder / file).write_bytes(content)
    try:
        read(folder / file)
    except ElloptError as error:
        if "\n" in str(error).strip():
            raise AssertionError(f"more than one line: {error}") from error


def seeds(name: str) -> list[bytes]:
    """Whole files of the kind, where the checkout holds some."""
    suffix = READERS[name][0].rpartition(".")[2]
    folders = (ROOT / "tests" / "data", ROOT / "search_spaces", SAMPLE)
    files = [file for folder in folders for file in sorted(folder.rglob(f"*.{suffix}"))]
    return [file.read_bytes() for file in files if file.stat().st_size <= _SEED_BYTES]


def fuzz(name: str, runs: int, artifacts: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    with tempfile.TemporaryDirectory() as text:
        folder, corpus = Path(text, "read"), Path(text, "corpus")
        folder.mkdir()
        corpus.mkdir()
        for i, seed in enumerate(seeds(name)):
            (corpus / str(i)).write_bytes(seed)
        options = [
            f"-runs={runs}",
            "-seed=1",
            f"-max_len={_SEED_BYTES}",
            f"-artifact_prefix={artifacts}/",
            "-timeout=60",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], lambda content: read_once(name, folder, content))
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=READERS, help="fuzz this one, in this process")
    parser.add_argument("--runs", type=int, default=20_000, help="damaged files for each reader")
    parser.add_argument("--artifacts", type=Path, default=Path(tempfile.gettempdir()), help="where failing inputs go")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.reader:
        fuzz(arguments.reader, arguments.runs, arguments.artifacts)
        return 0
    rows = []
    for name in READERS:
        began = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.fuzz", "--reader", name, "--runs", str(arguments.runs)]
        done = subprocess.run([*command, "--artifacts", str(arguments.artifacts)], capture_output=True, text=True)
        failure = "" if done.returncode == 0 else done.stderr[-2000:]
        rows.append({"reader": name, "runs": arguments.runs, "seconds": time.monotonic() - began, "failure": failure})
        if not arguments.json:
            print(f"{name}: {'failed' if failure else 'sound'}, {rows[-1]['seconds']:.0f} s\n{failure}", flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    return int(any(row["failure"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
