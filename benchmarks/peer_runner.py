"""Runs one runtime on one model in this process and prints a JSON object: samples in ms and the output.

Started afresh by peers.py for every turn, so no runtime meets another one's threads, caches or settings.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]
#: Computes the outputs, in the order of their names.
Predict = Callable[[], list[Any]]


def onnxruntime_session(model: Path, inputs: Arrays, outputs: list[str], threads: int) -> Predict:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: list(session.run(outputs, inputs))


def openvino_request(model: Path, inputs: Arrays, outputs: list[str], threads: int) -> Predict:
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(str(model)), "CPU", config).create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, openvino.Tensor(array))

    def predict() -> list[Any]:
        request.infer()
        return [request.get_tensor(name).data for name in outputs]

    return predict


def ncnn_net(model: Path, inputs: Arrays, outputs: list[str], threads: int, half: bool = False) -> Predict:
    """``half``: as it runs by itself, which is in float16 where the processor has the arithmetic."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    if not half:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
    net.load_param(str(model))
    net.load_model(str(model.with_suffix(".bin")))
    [array] = inputs.values()
    source = ncnn.Mat(array[0])

    def predict() -> list[Any]:
        extractor = net.create_extractor()
        extractor.input("in0", source)
        return [np.array(extractor.extract("out0")[1])]

    return predict


def mnn_session(model: Path, inputs: Arrays, outputs: list[str], threads: int, half: bool = False) -> Predict:
    import MNN

    net = MNN.Interpreter(str(model))
    precision = "low" if half else "high"
    session = net.createSession({"numThread": threads, "backend": "CPU", "precision": precision})

    def tensor(shape: tuple[int, ...], values: Any) -> Any:
        return MNN.Tensor(shape, MNN.Halide_Type_Float, values, MNN.Tensor_DimensionType_Caffe)

    places = [(net.getSessionInput(session, name), tensor(array.shape, array)) for name, array in inputs.items()]
    for place, given in places:
        net.resizeTensor(place, given.getShape())
    net.resizeSession(session)

    def predict() -> list[Any]:
        for place, given in places:
            place.copyFrom(given)
        net.runSession(session)
        found = []
        for name in outputs:
            output = net.getSessionOutput(session, name)
            shape = output.getShape()
            host = tensor(shape, np.zeros(shape, np.float32))
            output.copyToHostTensor(host)
            found.append(np.array(host.getNumpyData()))
        return found

    return predict


def litert_interpreter(model: Path, inputs: Arrays, outputs: list[str], threads: int) -> Predict:
    """Its own inputs and outputs, in their order; pixels have their channels last."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=threads)
    interpreter.allocate_tensors()
    given = []
    for detail, array in zip(interpreter.get_input_details(), inputs.values(), strict=True):
        fits = tuple(detail["shape"]) == array.shape
        given.append((detail["index"], array if fits else np.ascontiguousarray(np.moveaxis(array, 1, -1))))
    indices = [detail["index"] for detail in interpreter.get_output_details()]

    def predict() -> list[Any]:
        for index, array in given:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in indices]

    return predict


def ellopt_library(model: Path, inputs: Arrays, outputs: list[str], threads: int) -> Predict:
    import importlib.util

    spec = importlib.util.spec_from_file_location(model.stem, model)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(model)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Model(threads=threads)
    given: Any = next(iter(inputs.values())) if len(inputs) == 1 else inputs

    def predict() -> list[Any]:
        found = network.predict(given)
        return [found[name] for name in outputs] if isinstance(found, dict) else [found]

    return predict


def peak_memory_mb() -> float:
    """The most resident memory of this process. On Linux getrusage also counts who started it, before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PEERS: dict[str, Callable[[Path, Arrays, list[str], int], Predict]] = {
    "ellopt": ellopt_library,
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_request,
    "ncnn": ncnn_net,
    "mnn": mnn_session,
    "litert": litert_interpreter,
    "ncnn-float16": functools.partial(ncnn_net, half=True),
    "mnn-float16": functools.partial(mnn_session, half=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("model", type=Path, help="the .onnx file; for ncnn .param, for ellopt the library's .py")
    parser.add_argument("input", type=Path, help="a .npz file: arrays in:NAME, and the names of outputs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10)
    arguments = parser.parse_args()
    with np.load(arguments.input) as arrays:
        inputs = {name[3:]: np.ascontiguousarray(arrays[name]) for name in arrays.files if name.startswith("in:")}
        names = [str(name) for name in arrays["outputs"]]
    predict = PEERS[arguments.peer](arguments.model, inputs, names, arguments.threads)
    for _ in range(arguments.warm_up):
        output = predict()
    samples = []
    for _ in range(arguments.passes):
        start = time.perf_counter()
        output = predict()
        samples.append((time.perf_counter() - start) * 1e3)
    result = {
        "samples_ms": samples,
        "output": np.concatenate([np.asarray(one).reshape(-1) for one in output]).tolist(),
        "peak_rss_mb": peak_memory_mb(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
