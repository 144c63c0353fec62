"""The commands: which module has each, and what it does in a few words.

So the list of commands is shown, and one command run, without importing what the others need.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """``module``, of ``ellopt.cli.commands``, registers it."""

    module: str
    help: str


#: In the order in which they are shown; those of a module follow each other.
COMMANDS = {
    "optimize": Command("optimize", "tune every convolution layer of one or many models"),
    "show": Command("models", "show what is in a model"),
    "predict": Command("models", "run a model once"),
    "compile": Command("models", "write a model as a C library to deploy"),
    "bench": Command("models", "time a model as it would be deployed"),
    "convert": Command("convert", "write an ONNX model for ELL, or an .ell model as ONNX"),
    "targets": Command("boards", "list the targets"),
    "devices": Command("boards", "list boards, free those that a killed run left locked"),
    "worker": Command("worker", "offer boards or builds to a fleet"),
    "calibrate": Command("calibrate", "compare estimates with a board, and keep the factor"),
    "report": Command("reports", "draw a tuning run's page again"),
    "compare": Command("reports", "compare two tuning runs"),
    "sync": Command("reports", "deliver records that wait for MLflow"),
    "profile-report": Command("reports", "read ELL's profile reports"),
    "ui": Command("ui", "show a run's trials in MLflow's pages"),
    "demo": Command("demo", "tune the model that comes along, and classify pictures with it"),
    "deploy": Command("deploy", "build a model's library and example, run it on a board"),
    "doctor": Command("doctor", "check compiler, emulator, boards, MLflow and disk"),
    "cache": Command("cache", "show or remove what is kept between runs"),
    "store": Command("store", "list, prune, export and import kept measurements"),
}
