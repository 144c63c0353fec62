"""Models in the other file format compute the same, by onnxruntime and by the reference, there and back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from onnx import helper

from ellopt.cli.main import main
from ellopt.core.errors import ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy.ports import joined, parted
from ellopt.frontends.base import convert_model, read_model, write_model
from ellopt.model import reference
from tests.support.network_generator import Network, networks
from tests.support.onnx_models import convolution_model, make_model, runtime_outputs, save

ELL_MODELS = (
    *("cnn128bn.ell", "cnn64.ell", "dk64.ell", "dw96.ell", "dw96s2.ell", "res64.ell", "tiny16.ell"),
    *("mobile128.ell.zip", "resnet64.ell.zip", "tutorial160.ell.zip", "vgg64.ell.zip"),
    *("layers/act_leaky.ell", "layers/act_prelu.ell", "layers/act_sigmoid.ell", "layers/averagepooling_311.ell"),
    *("layers/bin_plus.ell", "layers/conv_1x1_s2.ell", "layers/conv_5x5.ell", "layers/dw_3x3.ell"),
    *("layers/dw_3x3_s2.ell", "layers/maxpooling_321.ell"),
)
#: What ELL has nothing for, by model; the others are written.
REFUSED = {
    "basic_pitch": (
        "the operator Conv: a window of 1x256: ELL's are square (26 nodes: node ",
        " and 23 more)",
        "Where",
    ),
    "ppocrv2_cls": ("the operator Conv: strides of 2x1", "(4 nodes: node 226 Conv@2, node 246 Conv@7, "),
}
SHAPES = {"centerface": {"input.1": (1, 3, 256, 320)}, "ppocrv2_cls": {"x": (1, 3, 48, 192)}}
ONNX_MODELS = (
    *("rw_squeezenet", "tv_mobilenet_v1_025", "efficientnet_lite0", "tv_mobilenet_v3_small", "rw_shufflenet"),
    *("ppocrv2_cls", "mp_face_detection_short_range", "centerface", "mp_selfie_segmentation", "basic_pitch"),
)


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found.reshape(-1) - wanted.reshape(-1)).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", ELL_MODELS)
def test_ell_models_as_onnx(name: str, shared_models: Path, tmp_path: Path) -> None:
    """What ELL itself computed, in its order of axes; names are kept."""
    path = shared_models / name
    model = read_model(path)
    convert_model(model, tmp_path / "m.onnx")
    base = str(path).removesuffix(".zip").removesuffix(".ell")
    values = np.load(f"{base}.input.npy").astype(np.float32).reshape(model.input.output_layout.size)
    (given,), (output,) = model.source.data["inputNames"], model.source.data["outputNames"]
    found = runtime_outputs(tmp_path / "m.onnx", {given: values.transpose(2, 0, 1)[None]})
    assert list(found) == [output]
    values = found[output].transpose(0, 2, 3, 1) if found[output].ndim == 4 else found[output]
    assert error(values, np.load(f"{base}.expected.npy")) < 1e-5


@pytest.mark.parametrize("name", ONNX_MODELS)
def test_onnx_models_for_ell_and_back(name: str, shared_onnx: Path, tmp_path: Path) -> None:
    path = shared_onnx / f"{name}.onnx"
    model = read_model(path, SHAPES.get(path.stem))
    if path.stem in REFUSED:
        with pytest.raises(ModelFormatError) as raised:
            convert_model(model, tmp_path / "m.ell")
        assert all(part in str(raised.value) for part in REFUSED[path.stem])
        assert not (tmp_path / "m.ell").exists()
        return
    convert_model(model, tmp_path / "m.ell")
    again = read_model(tmp_path / "m.ell")
    assert [port.name for port in again.input_ports] == [port.name for port in model.inputs]
    convert_model(again, tmp_path / "m.onnx")
    with np.load(path.with_suffix(".npz")) as recorded:
        given = {}
        for port, there in zip(model.inputs, again.input_ports, strict=True):
            values = recorded[f"in:{port.name}"]
            rows, columns, channels = there.shape
            # The axes of .ell files are rows, columns, channels, whatever the file began with.
            image = values.reshape(there.shape) if values.shape[-1] == channels else values[0].transpose(1, 2, 0)
            given[port.name] = image.transpose(2, 0, 1)[None]
            assert given[port.name].shape == (1, channels, rows, columns)
        found = runtime_outputs(tmp_path / "m.onnx", given)
        assert list(found) == [port.name for port in model.outputs]
        for port in model.outputs:
            wanted = recorded[f"out:{port.name}"]
            values = found[port.name]
            if values.ndim == 4 and values.shape != wanted.shape:
                values = values.transpose(0, 2, 3, 1)
            assert error(values, wanted) < 2e-4, port.name


@settings(
    max_examples=40, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(networks())
def test_networks_of_every_kind_of_node_as_onnx(tmp_path_factory: pytest.TempPathFactory, network: Network) -> None:
    model = network.model
    values = np.nan_to_num(network.values, nan=0.5, posinf=1, neginf=-1)
    buffers = reference.buffers(model, values)
    path = tmp_path_factory.mktemp("convert") / "m.onnx"
    convert_model(model, path)
    flat = parted_inputs(network, values)
    found = runtime_outputs(path, flat)
    if not all(np.isfinite(b).all() and np.abs(b).max() < 1e4 for b in buffers.values()):
        return  # what overflows, or is nearly divided by zero, is another number in another order
    wanted = parted(model, model.output.output_layout.view(buffers[model.output.node_id]))
    for port in model.output_ports:
        rows, columns, channels = port.shape
        image = found[port.name].reshape(1, channels, rows, columns).transpose(0, 2, 3, 1)
        scale = max(1.0, float(np.abs(wanted[port.name]).max()))
        np.testing.assert_allclose(image[0], wanted[port.name], rtol=1e-3, atol=2e-4 * scale)


def parted_inputs(network: Network, values: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs by name, channels first."""
    flat = values.reshape(-1)
    return {
        p.name: flat[p.offset : p.offset + p.elements].reshape(p.shape).transpose(2, 0, 1)[None]
        for p in network.model.input_ports
    }


def test_kinds_that_onnx_models_have(tmp_path: Path) -> None:
    """One branch for each way to say a kind in ELL's nodes."""
    random = np.random.default_rng(0)
    rows: list[tuple[str, list[str], dict[str, object]]] = [
        ("Clip", ["x", "low", "six"], {}),
        ("Clip", ["x", "low"], {}),
        ("Clip", ["x", "", "six"], {}),
        ("HardSwish", ["x"], {}),
        ("HardSigmoid", ["x"], {"alpha": 0.3, "beta": 0.4}),
        ("Sigmoid", ["x"], {}),
        ("LeakyRelu", ["x"], {"alpha": 0.2}),
        ("PRelu", ["x", "slope"], {}),
        ("Reciprocal", ["positive"], {}),
        ("Sqrt", ["positive"], {}),
        ("Exp", ["x"], {}),
        ("Mul", ["x", "mean"], {}),
        ("Sub", ["mean", "x"], {}),
        ("Add", ["x", "row"], {}),
        ("Concat", ["x", "positive"], {"axis": 1}),
        ("Concat", ["x", "positive"], {"axis": 2}),
        ("Slice", ["x", "starts", "ends", "axes"], {}),
        ("Slice", ["x", "starts", "ends", "axes", "steps"], {}),
        ("Pad", ["x", "pads"], {}),
        ("Transpose", ["x"], {"perm": [0, 2, 3, 1]}),
        ("Transpose", ["x"], {"perm": [0, 3, 2, 1]}),
        ("DepthToSpace", ["x"], {"blocksize": 2}),
        ("Gather", ["x", "places"], {"axis": 1}),
        ("ReduceMean", ["x"], {"axes": [1]}),
        ("ReduceMean", ["x"], {"axes": [2, 3]}),
        ("ReduceMax", ["square"], {"axes": [2, 3]}),
        ("ReduceMin", ["square"], {"axes": [2, 3]}),
        ("ReduceSum", ["x"], {}),
        ("Resize", ["x", "", "scales"], {"mode": "linear"}),
        ("Resize", ["x", "", "scales"], {"mode": "nearest"}),
        ("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}),
        ("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("Conv", ["x", "grouped"], {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Conv", ["x", "deep"], {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("ConvTranspose", ["x", "turned"], {"strides": [2, 2]}),
        ("ConvTranspose", ["x", "wide"], {"strides": [3, 3], "pads": [1, 1, 0, 0]}),
        ("MatMul", ["x", "matrix"], {}),
        ("Softmax", ["flattened"], {}),
        ("Gemm", ["flattened", "weights"], {}),
    ]
    shapes = {
        "slope": (4, 1, 1), "row": (1, 6, 1), "grouped": (6, 2, 3, 3), "deep": (4, 1, 3, 3), "turned": (4, 2, 2, 2),
        "wide": (4, 3, 4, 4), "matrix": (9, 5), "weights": (216, 7),
    }  # fmt: skip
    constants = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    constants |= {"low": np.float32(-0.5), "six": np.float32(0.75), "one": np.float32(1), "places": np.array([2, 0, 0])}
    constants |= {"starts": np.array([1, 2]), "ends": np.array([3, 9]), "axes": np.array([1, 3])}
    constants |= {"steps": np.array([1, 3]), "pads": np.array([0, 1, 2, 0, 0, 0, 1, 3])}
    constants |= {"scales": np.array([1, 1, 2, 3], np.float32), "corner": np.array([6]), "last": np.array([3])}
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("Add", ["squares", "one"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["x"], ["flattened"]),
        helper.make_node("Slice", ["x", "zero", "corner", "last"], ["square"]),
    ]
    constants["zero"] = np.array([0])
    nodes += [helper.make_node(kind, inputs, [f"y{k}"], **fields) for k, (kind, inputs, fields) in enumerate(rows)]
    outputs = [f"y{k}" for k in range(len(rows))]
    path = save(make_model(nodes, {"x": (1, 4, 6, 9)}, outputs, constants, opset=17), tmp_path / "kinds.onnx")
    x = random.normal(size=(1, 4, 6, 9)).astype(np.float32)
    wanted = runtime_outputs(path, {"x": x})
    convert_model(read_model(path), tmp_path / "kinds.ell")
    model = read_model(tmp_path / "kinds.ell")
    found = parted(model, reference.predict(model, joined(model, {"x": x[0].transpose(1, 2, 0)})))
    for (kind, _, fields), name in zip(rows, outputs, strict=True):
        values = wanted[name]
        if values.size and found[name].shape[:2] != (1, 1) and values.ndim == 4:
            values = values.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(
            found[name].reshape(-1), values.reshape(-1), rtol=1e-4, atol=1e-5, err_msg=f"{kind} {fields}"
        )


def test_chosen_options_and_names_go_with_the_model(tmp_path: Path) -> None:
    path = save(convolution_model(), tmp_path / "m.onnx")
    options = ConvolutionOptions("winograd", winograd_tile_size=4)
    write_model(read_model(path), tmp_path / "tuned.onnx", Plan.of({"0": options}), {}, {})
    assert main(["convert", str(tmp_path / "tuned.onnx"), "-o", str(tmp_path / "m.ell")]) == 0
    there = read_model(tmp_path / "m.ell")
    assert list(there.options.values()) == [options]
    assert there.convolutions[0].name == "first"
    assert main(["convert", str(tmp_path / "m.ell"), "-o", str(tmp_path / "again.onnx")]) == 0
    back = read_model(tmp_path / "again.onnx")
    assert list(back.options.values()) == [options]
    assert back.convolutions[0].name == "first"
    message = onnx.load(tmp_path / "again.onnx")
    onnx.checker.check_model(message, full_check=True)
    assert (message.opset_import[0].version, message.ir_version) == (17, 8)


def test_what_is_missing_is_said_at_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [helper.make_node("Erf", ["x" if k == 0 else f"e{k - 1}"], [f"e{k}"], name=f"erf {k}") for k in range(5)]
    nodes.append(helper.make_node("Softmax", ["e4"], ["y"], axis=1))
    path = save(make_model(nodes, {"x": (1, 3, 4, 4)}, ["y"]), tmp_path / "m.onnx")
    assert main(["convert", str(path), "-o", str(tmp_path / "m.ell")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the operator Erf: the function erf" in said
    assert "(5 nodes: node 0 erf 0, node 1 erf 1, node 2 erf 2 and 2 more)" in said
    assert "the operator Softmax: along one axis of several" in said
    assert not (tmp_path / "m.ell").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("m.txt", "must end in .ell"), ("m.onnx", "is an ONNX model already"), ("no", "must end in")]
)
def test_an_ending_says_the_format(name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(convolution_model(), tmp_path / "given.onnx")
    assert main(["convert", str(path), "-o", str(tmp_path / name)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


#: Operators of what is written; sums and products of channels are part of the convolution or matrix before them.
WRITTEN = {
    "tutorial160.ell.zip": {"Conv": 7, "Relu": 7, "MaxPool": 5, "GlobalAveragePool": 1, "Flatten": 1, "Softmax": 1},
    "mobile128.ell.zip": {"Conv": 16, "Relu": 16, "GlobalAveragePool": 1, "Flatten": 1, "Softmax": 1},
    "resnet64.ell.zip": Counter(Conv=15, Relu=15, Add=6, GlobalAveragePool=1, Gemm=1, Flatten=1, Softmax=1),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_has_the_operators_that_exporters_write(name: str, shared_models: Path, tmp_path: Path) -> None:
    convert_model(read_model(shared_models / name), tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert Counter(node.op_type for node in graph.node) == Counter(WRITTEN[name] | {"Identity": 1})
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read
    assert all(len(node.input) == 3 for node in graph.node if node.op_type in ("Conv", "Gemm"))


@pytest.mark.parametrize(
    ("last", "written"),
    [(["Relu", "b"], {"Conv": 1, "Relu": 1}), (["Add", "b", "c"], {"Conv": 1, "BatchNormalization": 1, "Add": 1})],
)
def test_batch_normalisation_goes_into_its_convolution(
    last: list[str], written: dict[str, int], tmp_path: Path
) -> None:
    """Not where another node reads what lies between."""
    random = np.random.default_rng(0)
    numbers = {name: random.uniform(0.5, 2, 4).astype(np.float32) for name in ("scale", "shift", "mean", "variance")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *numbers], ["b"]),
        helper.make_node(last[0], last[1:], ["y"]),
    ]
    numbers["w"] = random.normal(size=(4, 4, 3, 3)).astype(np.float32)
    path = save(make_model(nodes, {"x": (1, 4, 6, 5)}, ["y"], numbers), tmp_path / "given.onnx")
    convert_model(read_model(path), tmp_path / "m.ell")
    convert_model(read_model(tmp_path / "m.ell"), tmp_path / "again.onnx")
    given = {"x": random.normal(size=(1, 4, 6, 5)).astype(np.float32)}
    assert error(runtime_outputs(tmp_path / "again.onnx", given)["y"], runtime_outputs(path, given)["y"]) < 1e-6
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "again.onnx").graph.node)
    assert kinds == Counter(written | {"Identity": 1})
