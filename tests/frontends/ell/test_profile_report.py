"""ELL's text reports: read, written, joined to the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ELL_DEFAULT
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.frontends.ell.profile import (
    Exercise,
    ModelTime,
    NodeTime,
    ProfileReport,
    TypeTime,
    parse_report,
    read_report,
    report_text,
    write_report,
)
from ellopt.frontends.ell.profile_join import join, layer_times
from ellopt.frontends.ell.read import read_model
from ellopt.report.profile_table import profile_table
from tests.support.report_text import plain

SAMPLES = (
    "cnn64_profile_simple.txt",
    "cnn64_profile_unrolled.txt",
    "cnn64_profile_winograd.txt",
    "dw96_profile_simple.txt",
    "dw96_profile_unrolled.txt",
)


@pytest.mark.parametrize("name", SAMPLES)
def test_reports_that_ell_wrote_are_written_byte_for_byte(shared_samples: Path, name: str) -> None:
    path = shared_samples / name
    assert write_report(read_report(path)) == path.read_text()


def test_what_a_report_holds(shared_samples: Path) -> None:
    report = read_report(shared_samples / "cnn64_profile_simple.txt")
    assert (report.warm_up, report.iterations) == (10, 50)
    assert report.nodes[0] == NodeTime("1704", "ConstantNode<float>", 0.00159, 50)
    assert report.nodes[8].type_name == "BroadcastUnaryFunctionNode<float,ReLUActivationFunction<float>>"
    assert report.types[-1] == TypeTime("SimpleConvolutionComputeNode<float>", 231.19902, 300)
    assert report.model == ModelTime(238.76377, 50, 4.77528)
    assert not report.has_ancestors


@pytest.mark.parametrize(
    ("name", "model", "methods"),
    [
        ("cnn64_profile_simple.txt", "cnn64", ["simple"] * 6),
        ("cnn64_profile_unrolled.txt", "cnn64", ["unrolled"] * 6),
        # 1x1 and stride 2: winograd does not apply, ELL falls back
        ("cnn64_profile_winograd.txt", "cnn64", ["winograd"] * 3 + ["unrolled"] * 2 + ["winograd"]),
        ("dw96_profile_simple.txt", "dw96", ["simple"] * 9),
        ("dw96_profile_unrolled.txt", "dw96", ["unrolled"] * 9),
    ],
)
def test_convolutions_are_found_in_order(
    shared_samples: Path, shared_models: Path, name: str, model: str, methods: list[str]
) -> None:
    network = read_model(shared_models / f"{model}.ell")
    report = read_report(shared_samples / name)
    times = layer_times(report, network)
    assert list(times) == [node.node_id for node in network.convolutions]
    assert [layer.method for layer in times.values()] == methods
    lines = (shared_samples / name).read_text().partition("Node type")[0].splitlines()
    kinds = r"(Simple|Winograd|Unrolled|Spatial)Convolution|ReceptiveFieldMatrix|MatrixMatrix"
    listed = [float(re.findall(r"time: (\S+)", line)[0]) for line in lines if re.search(kinds, line)]
    assert sum(layer.ms for layer in times.values()) == pytest.approx(sum(listed) / 50)
    assert join(report, network) == {node_id: layer.ms for node_id, layer in times.items()}


def test_an_unrolled_convolution_is_a_pair_of_nodes(shared_samples: Path, shared_models: Path) -> None:
    times = join(read_report(shared_samples / "cnn64_profile_unrolled.txt"), read_model(shared_models / "cnn64.ell"))
    assert times["1120"] == pytest.approx((2.87242 + 12.28956) / 50)


ANCESTORS = """\
Node[1408]:\ttype: InputNode<float>\ttime: -0.000012 ms\tcount: 3\tancestor: 1000
Node[1410]:\ttype: ReceptiveFieldMatrixNode<float>\ttime: 0.3 ms\tcount: 3\tancestor: 1002
Node[1411]:\ttype: MatrixMatrixMultiplyNode<float>\ttime: 0.6 ms\tcount: 3\tancestor: 1002
Node[1412]:\ttype: BroadcastLinearFunctionNode<float>\ttime: 0.077377 ms\tcount: 3\tancestor: 1003
Node[1413]:\ttype: WinogradConvolutionComputeNode<float>\ttime: 0.9 ms\tcount: 3\tancestor: 1006
Node[1414]:\ttype: SimpleConvolutionComputeNode<float>\ttime: 1.5 ms\tcount: 3\tancestor: 1009
Node[1415]:\ttype: ConstantNode<float>\ttime: 0.000300 ms\tcount: 3\tancestor:
"""


def test_times_join_by_ancestor(shared_models: Path) -> None:
    model = read_model(shared_models / "tiny16.ell")  # its nodes name 1000 and on as ancestors themselves
    report = parse_report(ANCESTORS)
    assert report.has_ancestors
    times = join(report, model)
    assert times == pytest.approx(
        {"1032": -0.000004, "1034": 0.3, "1035": 0.025792, "1038": 0.3, "1041": 0.5}, abs=1e-6
    )
    assert [layer.method for layer in layer_times(report, model).values()] == ["unrolled", "winograd", "simple"]
    own = ANCESTORS
    for old, new in (("1002", "1034"), ("1006", "1038"), ("1009", "1041"), ("1003", "1035"), ("1000", "1032")):
        own = own.replace(f"ancestor: {old}", f"ancestor: {new}")
    assert join(parse_report(own), model) == times


def test_a_report_of_our_own_joins_by_id(shared_models: Path) -> None:
    model = read_model(shared_models / "tiny16.ell")
    plan = Plan.uniform([node.node_id for node in model.convolutions], ELL_DEFAULT)
    samples = PlanSamples(
        plan, (3.0, 5.0), {"1034": (1.0, 2.0), "1038": (0.5, 0.5), "1041": (1, 2)}, {"1037": (0.1, 0.2)}
    )
    text = report_text(model, samples, warm_up=4)
    report = parse_report(text)
    assert write_report(report) == text
    assert [node.node_id for node in report.nodes] == ["1034", "1037", "1038", "1041"]
    assert join(report, model) == pytest.approx({"1034": 1.5, "1037": 0.15, "1038": 0.5, "1041": 1.5})
    assert report.types == (
        TypeTime("PoolingLayerNode<float,MaxPoolingFunction>", 0.3, 2),
        TypeTime("ConvolutionalLayerNode<float>", 7.0, 6),
    )


def test_a_report_of_another_model_is_refused(shared_samples: Path, shared_models: Path) -> None:
    model = read_model(shared_models / "tiny16.ell")
    with pytest.raises(
        ConfigurationError, match=r"cnn64_profile_simple.txt: the report has 6 convolutions, .*tiny16.ell has 3"
    ):
        layer_times(read_report(shared_samples / "cnn64_profile_simple.txt"), model)
    with pytest.raises(ConfigurationError, match="no node of the report was made of convolution layer 1038"):
        layer_times(parse_report(ANCESTORS.replace("ancestor: 1006", "ancestor: 77")), model)
    alone = "Node[1]:\tReceptiveFieldMatrixNode<float>\ttime: 1.0 ms\tcount: 1\n"
    with pytest.raises(ConfigurationError, match=r"x.txt: node 1 .* not followed by a multiplication"):
        layer_times(parse_report(alone, "x.txt"), model)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Node statistics\nNode[1]:\tA<float>\ttime: fast ms\tcount: 50\n", 2),
        ("Node statistics\nNode[1]:\tA<float>\ttime: 1.0 ms\tcount: 50\nSegmentation fault\n", 3),
        ("Node[1]:\tA\ttime: 1.0 ms\n", 1),
        (
            "Node[1]:\tA\ttime: 1.0 ms\tcount: 1\nModel statistics\nTotal time: 1 ms \tcount: 2\t time per run: x ms\n",
            3,
        ),
        ("Node[1]:\tA\ttime: 1.0 ms\tcount: 1\nA\ttime: 1.0 ms \tcount: 1\n", 2),
    ],
)
def test_garbage_is_named_by_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "profile.txt"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"profile\.txt, line {line}: "):
        read_report(path)


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\0")
    for name in ("empty.txt", "binary.txt", "missing.txt"):
        with pytest.raises(ConfigurationError, match=name):
            read_report(tmp_path / name)


def test_the_table_has_every_node_and_the_whole(shared_samples: Path) -> None:
    shown = plain(profile_table(read_report(shared_samples / "dw96_profile_simple.txt")), 140)
    assert "1960" in shown
    assert "672.9" in shown  # 33.64716 ms in 50 passes
    assert re.search(r"all +50 passes +1846\.9", shown)
    assert "made of" in plain(profile_table(parse_report(ANCESTORS)), 140)


def test_a_narrow_table_shows_names_in_whole(shared_samples: Path) -> None:
    report = read_report(shared_samples / "dw96_profile_simple.txt")
    shown = plain(profile_table(report), 50)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 50
    assert {row.type_name for row in report.types} <= set(re.findall(r"type: *(.*)", re.sub(r"\n {4}", "", shown)))


names = st.from_regex(r"[A-Za-z]{1,12}(<float(,[A-Za-z]{1,8}<float>)?>)?", fullmatch=True)
counts = st.integers(0, 10**6)


def times(decimals: int) -> st.SearchStrategy[float]:
    return st.integers(-(10**9), 10**12).map(lambda n: n / 10**decimals)


nodes = st.builds(NodeTime, st.from_regex(r"\d{1,6}", fullmatch=True), names, times(5), counts)
made_nodes = st.builds(
    NodeTime,
    st.from_regex(r"\d{1,6}", fullmatch=True),
    names,
    times(6),
    counts,
    st.from_regex(r"\d{0,6}", fullmatch=True),
)


@st.composite
def reports(draw: st.DrawFn) -> ProfileReport:
    warm_up, iterations = draw(st.one_of(st.just((None, None)), st.tuples(counts, counts)))
    model = draw(st.none() | st.builds(ModelTime, times(5), st.integers(1, 10**6), times(5)))
    return ProfileReport(
        tuple(draw(st.lists(draw(st.sampled_from([nodes, made_nodes])), min_size=1, max_size=8))),
        tuple(draw(st.lists(st.builds(TypeTime, names, times(5), counts), max_size=4))),
        model,
        warm_up,
        iterations,
        form=draw(st.sampled_from(["", "opt", "noopt"])),
        regions=tuple(draw(st.lists(st.just("Region[7]:\tx\ttime: 1.0 ms\tcount: 1"), max_size=2))),
    )


@given(reports())
def test_what_is_written_is_read_again(report: ProfileReport) -> None:
    assert parse_report(write_report(report)) == report


REGIONS = """\
Region statistics
Region[0]:\tfilter transform\ttime: 0.01225 ms\tcount: 50
Region[1]: input transform [3 x 3] time: -0.00025 ms count: 50
"""
TIMED = """\
Timing ELL exercise tool{form}
Predicted category 3
{clock}
"""
BASH = "real\t1m2.345s\nuser\t0m4.000s\nsys\t0m0.100s"
POSIX = "real 62.345\nuser 4.00\nsys 0.10"


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("form", ["opt", "noopt", ""])
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("clock", ["", BASH, POSIX])
def test_reports_as_the_build_script_leaves_them(
    shared_samples: Path, tmp_path: Path, name: str, form: str, regions: bool, clock: str
) -> None:
    text = (shared_samples / name).read_text()
    plain_report = parse_report(text)
    parts = [f"Running ELL profiler tool -- {form}\n"] if form else []
    parts.append(text.replace("Node type statistics", REGIONS + "\nNode type statistics") if regions else text)
    parts += [TIMED.format(form=f" -- {form}" if form else "", clock=clock)] if clock else []
    path = tmp_path / f"profile_report_{form}.txt"
    path.write_text("".join(parts))
    report = read_report(path)
    assert (report.nodes, report.types, report.model) == (plain_report.nodes, plain_report.types, plain_report.model)
    assert (report.form, len(report.regions)) == (form, 2 * regions)
    assert report.exercise == (Exercise(form, 62.345, 4.0, 0.1) if clock else None)
    assert re.search(r"all +50 passes", plain(profile_table(report), 140))
    again = parse_report(write_report(report), report.path)
    assert again == report


def test_the_exercise_program_alone_has_whole_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, both = tmp_path / "exercise.txt", tmp_path / "both.txt"
    path.write_text(TIMED.format(form="", clock=BASH))
    both.write_text("Running ELL profiler tool -- noopt\n" + ANCESTORS + REGIONS)
    assert main(["profile-report", str(path), str(both)]) == 0
    assert "real 62.345 s" in capsys.readouterr().out
