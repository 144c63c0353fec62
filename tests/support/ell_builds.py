"""Builds by ELL's toolchain: what they left in a folder, and tools that only pretend."""

from __future__ import annotations

from pathlib import Path


def commands(directory: Path) -> list[str]:
    """The command lines of each plan that was compiled there, in the order of the plans' folders."""
    return [path.read_text() for path in sorted(directory.glob("plans/*/commands.txt"))]


def fake(path: Path, text: str) -> Path:
    """A tool that does what ``text`` says, a script of the shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
