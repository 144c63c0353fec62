"""``--json``: one document on standard output; and what is piped is not wrapped."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ellopt.cli.main import build_parser, main
from ellopt.targets import TARGETS
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.paths import TINY
from tests.support.reports import sample_report

#: they show no table
WITHOUT = {"compile", "convert", "sync", "ui", "worker"}


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def document(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of two models."""
    folder = tmp_path_factory.mktemp("out")
    for seed, name in enumerate(("face", "hand")):
        (folder / name).mkdir()
        (folder / name / "tuning_report.json").write_text(sample_report(seed, name).to_json())
    return folder


def test_every_command_that_shows_a_table_has_it() -> None:
    for name, parser in commands().items():
        assert ("--json" in parser.format_help()) == (name not in WITHOUT), name


def test_targets(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(["targets"], capsys)
    assert [row["name"] for row in found] == list(TARGETS)
    assert found[0]["lanes"] is None
    assert {row["name"]: row["cores"] for row in found}["pi0"] == 1


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(["show", str(TINY)], capsys)
    assert found["inputs"] == {"input": [16, 16, 3]}
    assert all(isinstance(node["multiply_adds"], int) for node in found["nodes"])
    assert {"1034"} <= {node["node_id"] for node in found["nodes"]}


def test_report_and_compare(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face, hand = document(["report", str(out)], capsys)
    assert (face["model"], hand["model"]) == ("face", "hand")
    report = sample_report(0, "face")
    assert [layer["ms"] for layer in face["layers"]] == [layer.winner_ms for layer in report.layers]
    assert face["directory"] == str(out / "face")
    [both] = document(["compare", str(out / "face"), str(out / "hand")], capsys)
    assert both["b"]["tuned_ms"] == hand["tuned_ms"]
    assert len(both["layers"]) == len(report.layers)


def test_devices(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPI_APIKEY", API_KEY)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with ClusterService(["192.0.2.1", "192.0.2.2"]) as service:
        found = document(["devices", "--target", "pi3", "--cluster", service.url], capsys)
        assert [(row["state"], row["fits"]) for row in found] == [("free", True), ("free", True)]
        assert document(["devices", "--cluster", service.url, "--release-mine"], capsys) == {"released": []}


def test_optimize_says_what_came_of_every_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "good.ell").write_bytes(TINY.read_bytes())
    (tmp_path / "models" / "torn.ell").write_bytes(TINY.read_bytes()[:5000])
    arguments = ["optimize", "--model_path", str(tmp_path / "models"), "--target", "host", "-o", str(tmp_path / "out")]
    good, torn = document([*arguments, "--options", "quick", "--trials", "2", "--no_mlflow"], capsys, code=2)
    assert good["tuned_ms"] > 0
    assert (tmp_path / "out" / "good" / good["files"][0]).is_file()
    assert "torn.ell" in torn["error"]


def test_what_is_piped_is_not_wrapped(out: Path) -> None:
    command = [sys.executable, "-m", "ellopt", "report", str(out / "face")]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    lines = done.stdout.splitlines()
    for layer in sample_report(0, "face").layers:
        (line,) = [line for line in lines if line.startswith(f"{layer.node_id} ")]
        assert str(layer.winner) in line
    assert f"Files: {out / 'face'}" in lines
