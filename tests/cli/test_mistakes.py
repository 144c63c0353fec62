"""The likeliest mistakes: each is answered by one line that names what is wrong and what to do, and by exit code 2."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.cli.main import main
from tests.support.paths import DATA, TINY


@dataclass(frozen=True)
class Mistake:
    """``prepare`` puts files into an empty directory; ``arguments`` are given there. All of ``said`` is answered."""

    name: str
    arguments: tuple[str, ...]
    said: tuple[str, ...]
    prepare: Callable[[Path], Any] = lambda directory: None
    code: int = 2


def tune(*arguments: str) -> tuple[str, ...]:
    target = () if "--target" in arguments else ("--target", "host")
    model = () if "--model_path" in arguments else ("--model_path", str(TINY))
    return ("optimize", *model, *target, "-o", "out", "--no_mlflow", *arguments)


def options(**values: Any) -> Callable[[Path], Any]:
    whole = {"convolution_methods": ["simple"], "parallel": [False], "winograd_parameters": [1]} | values
    return lambda d: (d / "o.json").write_text(json.dumps(whole))


def model(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def prepare(directory: Path) -> None:
        data = json.loads(TINY.read_text())
        change(data)
        (directory / "m.ell").write_text(json.dumps(data))

    return prepare


def node(data: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(n for n in data["model"]["nodes"] if n["_type"].startswith(kind))
    return found


def rename_kind(data: dict[str, Any]) -> None:
    node(data, "SoftmaxLayerNode")["_type"] = "FancyNode<float>"


def make_cycle(data: dict[str, Any]) -> None:
    first, last = node(data, "ReorderDataCodeNode"), node(data, "SoftmaxLayerNode")
    first["input"]["input"] = f"{last['id']}.output"


def drop_weight(data: dict[str, Any]) -> None:
    del node(data, "ConvolutionalLayerNode")["layer"]["weights_values"][-1]


def missing_port(data: dict[str, Any]) -> None:
    del node(data, "BiasLayerNode")["input"]


def only_ends(data: dict[str, Any]) -> None:
    nodes = data["model"]["nodes"]
    keep = [node(data, "InputNode"), node(data, "OutputNode")]
    keep[1]["input"]["input"] = f"{keep[0]['id']}.output"
    keep[1]["layout"] = keep[0]["layout"]
    nodes[:] = keep


MISTAKES = [
    Mistake("no such model", tune("--model_path", "x.ell"), ("--model_path", "x.ell does not exist")),
    Mistake(
        "no model", tune("--model_path", "x.txt"), ("x.txt is no model file",), lambda d: (d / "x.txt").write_text("")
    ),
    Mistake("an empty directory", tune("--model_path", "d"), ("no model files",), lambda d: (d / "d").mkdir()),
    Mistake("a name that is nearly right", tune("--models", "tiny61"), ("tiny61", "did you mean tiny16")),
    Mistake(
        "a torn model", tune("--model_path", "m.ell"), ("m.ell", "JSON"),
        lambda d: (d / "m.ell").write_text(TINY.read_text()[:5000]),
    ),
    Mistake(
        "another kind of JSON", tune("--model_path", "m.ell"), ("m.ell", "Map"),
        lambda d: (d / "m.ell").write_text("{}"),
    ),
    Mistake(
        "nan in a model", tune("--model_path", "m.ell"), ("m.ell", "nan"),
        lambda d: (d / "m.ell").write_text(TINY.read_text().replace('"stride": 1', '"stride": nan', 1)),
    ),
    Mistake("an unknown node", tune("--model_path", "m.ell"), ("m.ell", "FancyNode", "node"), model(rename_kind)),
    Mistake("a cycle", tune("--model_path", "m.ell"), ("m.ell", "cycle"), model(make_cycle)),
    Mistake("a weight too few", tune("--model_path", "m.ell"), ("m.ell", "1034", "weights"), model(drop_weight)),
    Mistake("a missing port", tune("--model_path", "m.ell"), ("m.ell", "input"), model(missing_port)),
    Mistake("nothing to tune", tune("--model_path", "m.ell"), ("m.ell", "no convolution"), model(only_ends)),
    Mistake("a broken zip", tune("--model_path", "m.ell.zip"), ("m.ell.zip", "zip"),
            lambda d: (d / "m.ell.zip").write_bytes(b"PK")),
    Mistake("no such options file", tune("--options", "qick"), ("--options", "did you mean quick")),
    Mistake("options that are no JSON", tune("--options", "o.json"), ("o.json", "JSON"),
            lambda d: (d / "o.json").write_text("{")),
    Mistake("a wrong key", tune("--options", "o.json"), ("o.json", "paralel", "did you mean parallel"),
            options(paralel=[True])),
    Mistake("an unknown method", tune("--options", "o.json"), ("o.json", "winogard", "did you mean winograd"),
            options(convolution_methods=["winogard"])),
    Mistake("a wrong kind of value", tune("--options", "o.json"), ("o.json", "parallel", "true"),
            options(parallel="yes")),
    Mistake("a depth that is none", tune("--options", "o.json"), ("o.json", "winograd_parameters", "-1"),
            options(convolution_methods=["winograd"], winograd_parameters=[-1])),
    Mistake("an unknown target", tune("--target", "pi33"), ("--target", "did you mean pi3", "pi_zero2")),
    Mistake(
        "more threads than cores", tune("--target", "pi3", "--emulate", "--threads", "8"),
        ("--threads", "pi3 has 4 cores"),
    ),
    Mistake("no board", tune("--target", "orangepi0"), ("--target orangepi0", "--ipaddress", "--emulate")),
    Mistake("boards in two ways", tune("--target", "pi3", "--ipaddress", "127.0.0.1", "--cluster", "https://c/api"),
            ("--ipaddress and --cluster",)),
    Mistake("a pruner that is none", tune("--pruner", "median"), ("--pruner", "median", "behind")),
    Mistake("a port that is none", tune("--target", "pi3", "--ipaddress", "127.0.0.1", "--ssh_port", "0"),
            ("--ssh_port",)),
    Mistake("an address that is none", tune("--target", "pi3", "--ipaddress", "pi:x"), ("--ipaddress", "pi:x")),
    Mistake("a cluster without a key", tune("--target", "pi3", "--cluster", "https://c/api"), ("RPI_APIKEY",)),
    Mistake("a cluster over http",
            tune("--target", "pi3", "--cluster", "http://cluster.example/api", "--apikey", "k"),
            ("--allow_insecure_cluster",)),
    Mistake("a platform expression that is none",
            tune("--target", "pi3", "--cluster", "https://c/api", "--apikey", "k", "--platform_regex", "("),
            ("--platform_regex",)),
    Mistake("an unknown sampler", tune("--sampler", "best"), ("--sampler", "tpe")),
    Mistake("a sampler that cannot be imported", tune("--sampler", "optuna.samplers:Best"), ("--sampler", "Best")),
    Mistake("no trials", tune("--trials", "0"), ("--trials",)),
    Mistake("a negative limit", tune("--timeout", "-5"), ("--timeout",)),
    Mistake("a tolerance above one", tune("--tolerance", "2"), ("--tolerance",)),
    Mistake("an unknown toolchain", tune("--toolchain", "gcc"), ("--toolchain", "native, ell")),
    Mistake("ELL without ELL", tune("--toolchain", "ell"), ("--ell_build_root",)),
    Mistake("a name that the registry refuses", (*tune("--register", "a/b")[:-3], "--register", "a/b"),
            ("--register", "a/b")),
    Mistake("registering without MLflow", tune("--register", "a"), ("--register", "--no_mlflow")),
    Mistake("the output is a file", tune(), ("out",), lambda d: (d / "out").write_text("")),
    Mistake("a log file that is a directory", tune("--logfile", "log"), ("--logfile", "log"),
            lambda d: (d / "log").mkdir()),
    Mistake("a key that is not there", tune("--target", "pi3", "--ipaddress", "127.0.0.1", "--key_file", "id_no"),
            ("id_no",)),
    Mistake("show: no such model", ("show", "x.ell"), ("x.ell",)),
    Mistake("predict: an input of another shape",
            ("predict", str(TINY), "--input", "x.npy", "--output", "y.npy"), ("16x16x3", "4x4x3"),
            lambda d: np.save(d / "x.npy", np.zeros((4, 4, 3), np.float32))),
    Mistake("predict: an input that is no array",
            ("predict", str(TINY), "--input", "x.npy", "--output", "y.npy"), ("--input", "x.npy"),
            lambda d: (d / "x.npy").write_text("1 2 3")),
    Mistake("predict: options of another model",
            ("predict", str(TINY), "--input", str(DATA / "tiny16.input.npy"), "--output", "y.npy", "--options", "o"),
            ("o: node 7", "1034"), lambda d: (d / "o").write_text('{"nodes": {"7": {}}}')),
    Mistake("report: no report there", ("report", "."), ("tuning_report.json",)),
    Mistake("compare: a damaged report", ("compare", "a.json", "a.json"), ("a.json",),
            lambda d: (d / "a.json").write_text('{"version": 1}')),
    Mistake("sync: no such directory", ("sync", "nowhere"), ("nowhere",)),
    Mistake("devices: no boards given", ("devices",), ("--ipaddress", "--cluster")),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_with_what_to_do(
    mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RPI_CLUSTER", "RPI_APIKEY", "RPI_PASSWORD", "ELL_ROOT", "ELL_BUILD_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    mistake.prepare(tmp_path)
    code = main(mistake.arguments)
    answer = capsys.readouterr().err
    assert code == mistake.code
    for text in mistake.said:
        assert text in answer
    assert "Traceback" not in answer
    assert len([line for line in answer.splitlines() if line.startswith("ellopt: ")]) == 1


def test_an_unreachable_board_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    code = main(tune("--target", "pi3", "--ipaddress", f"127.0.0.1:{port}", "--board_timeout", "1"))
    assert code == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bench", "predict", "deploy"])
def test_an_address_that_never_answers_is_to_be_mended(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("ellopt.app.boards.WAIT_SECONDS", 1.0)
    given = ("--input", str(DATA / "tiny16.input.npy"), "--output", str(tmp_path / "y.npy"))
    to = {"predict": given, "deploy": ("-o", str(tmp_path / "library"))}
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        arguments = [command, str(TINY), "--target", "pi3", "--ipaddress", address, *to.get(command, ())]
        assert main(arguments) == 2
    assert f"board {address}: cannot connect" in capsys.readouterr().err


def test_a_mistyped_option_is_answered_by_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["optimize", "--modelpath", "x"])
    assert ended.value.code == 2
    assert "--model_path" in capsys.readouterr().err


def test_an_mlflow_server_that_is_down_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    arguments = [a for a in tune("--trials", "2", "--options", "quick") if a != "--no_mlflow"]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "tiny16" / "tiny16_options.ell").is_file()
    assert "ellopt sync" in capsys.readouterr().err
