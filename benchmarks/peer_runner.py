"""Runs one runtime on one model in this process and prints a JSON object: samples in ms and the output.

Started afresh by peers.py for every turn, so no runtime meets another one's threads, caches or settings.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Predict = Callable[[], np.ndarray]


def onnxruntime_session(model: Path, image: np.ndarray, threads: int) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    batch = image[None]
    return lambda: session.run(None, {"input": batch})[0]


def openvino_request(model: Path, image: np.ndarray, threads: int) -> Predict:
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(str(model)), "CPU", config).create_infer_request()
    tensor = openvino.Tensor(image[None])
    request.set_input_tensor(tensor)

    def predict() -> np.ndarray:
        request.infer()
        output: np.ndarray = request.get_output_tensor().data
        return output

    return predict


def ncnn_net(model: Path, image: np.ndarray, threads: int) -> Predict:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(str(model))
    net.load_model(str(model.with_suffix(".bin")))
    source = ncnn.Mat(image)

    def predict() -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input("in0", source)
        return np.array(extractor.extract("out0")[1])

    return predict


def ellopt_library(model: Path, image: np.ndarray, threads: int) -> Predict:
    import importlib.util

    spec = importlib.util.spec_from_file_location(model.stem, model)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(model)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Model(threads=threads)
    rows_first = np.ascontiguousarray(image.transpose(1, 2, 0))
    return lambda: network.predict(rows_first)


def peak_memory_mb() -> float:
    """The most resident memory of this process. On Linux getrusage also counts who started it, before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PEERS = {
    "ellopt": ellopt_library,
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_request,
    "ncnn": ncnn_net,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("model", type=Path, help="the .onnx file; for ncnn .param, for ellopt the library's .py")
    parser.add_argument("input", type=Path, help="a .npy file, rows x columns x channels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10)
    arguments = parser.parse_args()
    image = np.ascontiguousarray(np.load(arguments.input).transpose(2, 0, 1), np.float32)
    predict = PEERS[arguments.peer](arguments.model, image, arguments.threads)
    for _ in range(arguments.warm_up):
        output = predict()
    samples = []
    for _ in range(arguments.passes):
        start = time.perf_counter()
        output = predict()
        samples.append((time.perf_counter() - start) * 1e3)
    result = {
        "samples_ms": samples,
        "output": np.asarray(output).reshape(-1).tolist(),
        "peak_rss_mb": peak_memory_mb(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
