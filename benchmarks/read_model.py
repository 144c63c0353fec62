"""Time and memory of reading a 100 MB model: ``python -m benchmarks.read_model [--json] [--megabytes 100]``.

The model is made anew (random weights, seven significant digits, as ELL writes them) and read in a fresh process whose
peak memory is the figure; it includes the interpreter and NumPy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_SECONDS = 5.0
LIMIT_MEGABYTES = 1500.0

_CHILD = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
from ellopt.frontends.ell.read import read_model
imported = time.perf_counter()
model = read_model(Path(sys.argv[1]))
done = time.perf_counter()
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
except ImportError:
    peak = float("nan")
weights = sum(node.weights.size for node in model.convolutions)
print(json.dumps({"import_s": imported - started, "read_s": done - imported, "peak_mb": peak, "weights": weights}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.ell")
        write_model(path, int(arguments.megabytes * 1e6))
        size = path.stat().st_size
        runs = [_measure(path) for _ in range(arguments.repeats)]
    result = {
        "file_mb": round(size / 1e6, 1),
        "weights": runs[0]["weights"],
        "read_s": round(statistics.median(run["read_s"] for run in runs), 3),
        "read_s_all": [round(run["read_s"], 3) for run in runs],
        "peak_mb": round(max(run["peak_mb"] for run in runs), 1),
        "limit_s": LIMIT_SECONDS,
        "limit_mb": LIMIT_MEGABYTES,
    }
    result["ok"] = result["read_s"] <= LIMIT_SECONDS and result["peak_mb"] <= LIMIT_MEGABYTES
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['file_mb']} MB, {result['weights']:,} weights: "
            f"read in {result['read_s']} s (limit {LIMIT_SECONDS}), "
            f"peak memory {result['peak_mb']} MB (limit {LIMIT_MEGABYTES})"
        )
    sys.exit(0 if result["ok"] else 1)


def _measure(path: Path) -> dict[str, Any]:
    output = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)], check=True, capture_output=True, text=True
    ).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def write_model(path: Path, target_bytes: int) -> None:
    """A chain of 3x3 convolutions of 512 channels on 8x8 pixels, as many as make the file ``target_bytes`` large."""
    random = np.random.default_rng(1)
    channels, side = 512, 8
    values = channels * channels * 9
    text = ",".join(f"{value:.7g}" for value in random.normal(0, 0.05, values).astype(np.float32))
    count = max(1, round(target_bytes / len(text)))
    inside = _layout(side, channels, 0)
    padded = _layout(side, channels, 1)
    nodes = [f'{{"_type":"InputNode<float>","_version":"2","id":"1","layout":{inside}}}']
    for number in range(count):
        pad, convolution = 2 * number + 2, 2 * number + 3
        nodes.append(
            f'{{"_type":"ReorderDataCodeNode<float>","_version":"0","id":"{pad}",{_port(pad, pad - 1)},'
            f'"inputLayout":{inside},"outputLayout":{padded},"paddingValue":0}}'
        )
        nodes.append(
            f'{{"_type":"ConvolutionalLayerNode<float>","_version":"5","id":"{convolution}",{_port(convolution, pad)},'
            f'"inputLayout":{padded},"outputLayout":{inside},"inputShape":[{side + 2},{side + 2},{channels}],'
            f'"layer":{{"_type":"ConvolutionalLayer<float>","_version":"0","inputPaddingScheme":0,"inputPaddingSize":1,'
            f'"outputShape":[{side},{side},{channels}],"outputPaddingScheme":0,"outputPaddingSize":0,"receptiveField":3,'
            f'"stride":1,"method":0,"numFiltersAtATime":1,"weights_rows":{channels * 3},"weights_columns":3,'
            f'"weights_channels":{channels},"weights_values":[{text}]}}}}'
        )
    end = 2 * count + 2
    nodes.append(f'{{"_type":"OutputNode<float>","_version":"2","id":"{end}",{_port(end, end - 1)},"layout":{inside}}}')
    with path.open("w", encoding="utf-8") as file:
        file.write('{"_type":"Map","_version":"2","model":{"_type":"Model","_version":"2","nodes":[')
        for index, node in enumerate(nodes):
            file.write(("," if index else "") + node)
        file.write(
            f']}},"inputNames":["input"],"inputIds":["1"],"outputNames":["output"],"outputElements":["{end}.output"]}}'
        )


def _layout(side: int, channels: int, padding: int) -> str:
    extent = side + 2 * padding
    return (
        f'{{"_type":"MemoryLayout","_version":"0","size":[{side},{side},{channels}],"extent":[{extent},{extent},{channels}],'
        f'"offset":[{padding},{padding},0],"order":[0,1,2],"increment":[{extent * channels},{channels},1]}}'
    )


def _port(node: int, source: int) -> str:
    return (
        f'"input":{{"_type":"InputPort<float>","_version":"0","nodeId":"{node}","name":"input","type":1,'
        f'"input":"{source}.output"}}'
    )


if __name__ == "__main__":
    main()
