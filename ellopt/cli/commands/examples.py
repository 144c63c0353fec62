"""Examples that end each command's help; ``optimize`` has its own."""

from __future__ import annotations

import argparse
import textwrap

WIDTH = 78

EXAMPLES: dict[str, tuple[str, ...]] = {
    "show": ("ellopt show model.ell",),
    "predict": (
        "ellopt predict out/face/face_options.ell --input x.npy --output y.npy",
        "ellopt predict out/face --image cat.jpg --scale 1/255 --labels labels.txt",
        "ellopt predict model.ell --options out/face/compile_options.json --input x.npy --output y.npy",
    ),
    "convert": ("ellopt convert model.onnx -o model.ell", "ellopt convert model.ell -o model.onnx"),
    "deploy": ("ellopt deploy out/face --ipaddress 192.168.1.20",),
    "demo": ("ellopt demo",),
    "compile": (
        "ellopt compile out/face/face_options.ell --target pi4_64 -o library",
        "ellopt compile model.ell --options out/face/compile_options.json --target host -o library",
    ),
    "bench": (
        "ellopt bench out/face/face_options.ell --threads 1",
        "ellopt bench model.ell --options out/face/compile_options.json --json",
    ),
    "targets": ("ellopt targets",),
    "devices": (
        "ellopt devices --target pi3 --ipaddress 192.168.1.20 192.168.1.21",
        "ellopt devices --target pi3 --cluster https://cluster:1337/api/",
        "ellopt devices --target pi3 --scheduler tcp://127.0.0.1:8786",
    ),
    "store": (
        "ellopt store list",
        "ellopt store export measurements.jsonl --store postgresql+psycopg://host/name",
        "ellopt store prune --older_than 90 --target pi3",
    ),
    "worker": (
        "ellopt worker --scheduler tcp://127.0.0.1:8786 --target host",
        "ellopt worker --scheduler tls://lab:8786 --target pi3 --ipaddress 192.168.1.20 --tls_ca ca.pem "
        "--tls_cert site.pem --tls_key site.key",
        "ellopt worker --scheduler_file scheduler.json --builds 4",
    ),
    "calibrate": ("ellopt calibrate --target pi4_64 --ipaddress 192.168.1.20",),
    "report": ("ellopt report out/face",),
    "compare": ("ellopt compare out_monday/face out_tuesday/face --page changes.html",),
    "sync": ("ellopt sync out", "ellopt sync out --to sqlite:///mlflow.db --experiment rescued"),
    "ui": ("ellopt ui out", "ellopt ui out/face --no_browser"),
    "profile-report": ("ellopt profile-report profiles/run_*.txt",),
    "cache": ("ellopt cache", "ellopt cache clear"),
    "doctor": ("ellopt doctor --target pi3", "ellopt doctor --target pi3 --ipaddress 192.168.1.20"),
}


def add_examples(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """End the help of every command with its examples."""
    for name, lines in EXAMPLES.items():
        parser = subparsers.choices[name]
        parser.epilog = "\n".join(["examples:", *(f"  {line}" for line in lines)])
        parser.formatter_class = argparse.RawDescriptionHelpFormatter  # keeps the lines of the examples
        parser.description = textwrap.fill(parser.description or "", WIDTH)
