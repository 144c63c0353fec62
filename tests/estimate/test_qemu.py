"""Which qemu is taken, and what is said of one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.qemu import find_plugin_qemu
from ellopt.targets import find_target

TARGET = find_target("pi4_64")


def pretend(directory: Path, version: str, said_of_plugins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / "qemu-aarch64"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in -version) echo "{version}" ;; *) echo "{said_of_plugins}" >&2; exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("version", "interface"), [("6.2.0", 1), ("7.2.22", 1), ("8.2.9", 1), ("9.0.1", 2), ("9.1.0", 3), ("10.0.2", 4)]
)
def test_versions_that_are_known_say_their_interface(
    version: str, interface: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, f"qemu-aarch64 version {version} (Debian)", "qemu: no user program specified", monkeypatch)
    assert find_plugin_qemu(TARGET).interface == interface


@pytest.mark.parametrize(
    ("version", "plugins", "expected"),
    [
        ("qemu-aarch64 version 5.2.0", "no user program", "is 5.2, whose interface for plugins is not known"),
        ("qemu-aarch64 version 11.0.0", "no user program", "is 11.0, whose interface for plugins is not known"),
        ("qemu-aarch64 version 7.2.0", "qemu: unknown option 'plugin'", "was built without"),
        ("something else", "no user program", "does not tell its version"),
    ],
)
def test_others_are_refused_with_the_reason(
    version: str, plugins: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, version, plugins, monkeypatch)
    with pytest.raises(ConfigurationError, match=expected):
        find_plugin_qemu(TARGET)


def test_without_one_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install it, on Debian: apt-get install qemu-user"):
        find_plugin_qemu(TARGET)
