"""Winners from reports that somebody measured elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ellopt.app.from_reports import find_reports
from ellopt.cli.main import main
from ellopt.frontends.ell.read import read_model


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("m/m_winograd_1_2_4_parallel_profile_report_opt.txt", ("winograd", True, (1, 2, 4))),
        ("m_winograd_1_2_4/profile_report_noopt.txt", ("winograd", False, (1, 2, 4))),
        ("m_simple_parallel/profile_report_opt.txt", ("simple", True, (0, 0, 0))),
        ("m_profile_unrolled.txt", ("unrolled", False, (0, 0, 0))),
        ("m_2_profile_unrolled.txt", None),
        ("mm_simple_profile_report_opt.txt", None),
        ("m_notes.txt", None),
    ],
)
def test_the_name_says_what_a_report_is_of(
    tmp_path: Path, path: str, found: tuple[str, bool, tuple[int, int, int]] | None
) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).touch()
    reports = [(r.method, r.parallelize, r.depths) for r in find_reports(tmp_path, "m")]
    assert reports == ([] if found is None else [found])


def pick(models: Path, reports: Path, output: Path, *names: str) -> int:
    arguments = ["optimize", "--model_path", str(models), "--models", *names, "--target", "host"]
    return main([*arguments, "--from_reports", str(reports), "-o", str(output)])


def test_the_fastest_of_each_layer_is_written(shared_models: Path, shared_samples: Path, tmp_path: Path) -> None:
    assert pick(shared_models, shared_samples, tmp_path, "cnn64") == 0
    nodes = json.loads((tmp_path / "cnn64" / "compile_options.json").read_text())["nodes"]
    assert {node_id: values["preferredConvolutionMethod"] for node_id, values in nodes.items()} == {
        "1120": "unrolled",
        "1124": "unrolled",
        "1127": "winograd",
        "1131": "unrolled",
        "1134": "unrolled",
        "1137": "winograd",
    }
    assert [o.method for o in read_model(tmp_path / "cnn64" / "cnn64_options.ell").options.values()] == [
        values["preferredConvolutionMethod"] for values in nodes.values()
    ]
    layers = json.loads((tmp_path / "cnn64" / "from_reports.json").read_text())["layers"]
    assert layers["1127"][0] == {"options": "winograd", "ms": 0.9897376, "report": "cnn64_profile_winograd.txt"}


def test_depthwise_layers_never_get_winograd(shared_models: Path, shared_samples: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    shutil.copy(shared_samples / "dw96_profile_simple.txt", reports)
    text = (shared_samples / "dw96_profile_simple.txt").read_text()
    faster = text.replace("SpatialConvolutionNode<float>  ", "WinogradConvolutionNode<float> ").replace(
        "time: ", "time: 0"
    )
    (reports / "dw96_winograd_1_1_1_parallel_profile_report_opt.txt").write_text(faster)
    assert pick(shared_models, reports, tmp_path / "out", "dw96") == 0
    nodes = json.loads((tmp_path / "out" / "dw96" / "compile_options.json").read_text())["nodes"]
    assert {values["preferredConvolutionMethod"] for values in nodes.values()} == {"simple"}


def test_a_model_without_reports_is_named_and_the_others_are_written(
    shared_models: Path, shared_samples: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pick(shared_models, shared_samples, tmp_path, "tiny16", "dw96") == 2
    error = capfd.readouterr().err
    assert "has no profile report of tiny16" in error.replace("\n", " ")
    assert (tmp_path / "dw96" / "dw96_options.ell").is_file()
    assert not (tmp_path / "tiny16").exists()


def test_the_command_shows_reports(shared_samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(shared_samples / f"cnn64_profile_{method}.txt") for method in ("simple", "winograd")]
    assert main(["profile-report", *files]) == 0
    shown = capsys.readouterr().out
    assert "cnn64_profile_winograd.txt:" in shown.replace("\n", "")
    assert "4775.3" in shown
    assert main(["profile-report", str(shared_samples / "README.md")]) == 2


def test_reports_of_the_build_script_and_times_below_the_clock(
    shared_models: Path, shared_samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Winograd read 0 or less in every pass: it took less than the clock can tell, and that is what is said."""
    reports = tmp_path / "reports"
    reports.mkdir()
    for method in ("simple", "unrolled", "winograd_8_2_4"):
        text = (shared_samples / f"cnn64_profile_{method.partition('_')[0]}.txt").read_text()
        if method.startswith("winograd"):
            text = re.sub(r"(WinogradConvolutionComputeNode<float>\s+time: )\S+", r"\1-0.00025", text, count=1)
        (reports / f"cnn64_{method}_profile_report_opt.txt").write_text(f"Running ELL profiler tool -- opt\n{text}")
    (reports / "cnn64_simple_profile_report_noopt.txt").write_text("Timing ELL exercise tool\nreal\t0m1.000s\n")
    assert pick(shared_models, reports, tmp_path / "out", "cnn64") == 0
    layers = json.loads((tmp_path / "out" / "cnn64" / "from_reports.json").read_text())["layers"]
    assert min(m["ms"] for measured in layers.values() for m in measured) == 0.00025
    assert "at most 0.250 µs" in capsys.readouterr().out
