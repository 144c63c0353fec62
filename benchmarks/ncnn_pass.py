"""Run on a simulated processor by estimate.py: a network without weights, as ncnn's own benchmark runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import ncnn

from benchmarks.arm_pass import simulated


def main(pools: tuple[ncnn.Allocator, ncnn.Allocator], network: str, *shape: str) -> None:
    """``pools``: for blobs and workspace; they must outlive what is made here. ``shape``: width, height, channels."""
    net = ncnn.Net()
    net.opt.blob_allocator, net.opt.workspace_allocator = pools
    net.opt.num_threads = 1
    net.opt.lightmode = True
    net.load_param(str(Path(network)))
    net.load_model(ncnn.DataReaderFromEmpty())
    image = ncnn.Mat(*map(int, shape))
    image.fill(0.01)
    inputs, outputs = net.input_names(), net.output_names()

    def predict() -> None:
        extractor = net.create_extractor()
        for name in inputs:
            extractor.input(name, image)
        for name in outputs:
            extractor.extract(name)

    simulated(predict)


if __name__ == "__main__":
    POOLS = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
    main(POOLS, *sys.argv[1:])
