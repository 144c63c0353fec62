"""What to type after a tuning run: the commands that use its files."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ellopt.report.document import TuningReport


@dataclass(frozen=True)
class Command:
    """``purpose`` is a sentence for the reader, ``line`` what goes into a shell."""

    purpose: str
    line: str


def deploy_commands(report: TuningReport) -> tuple[Command, ...]:
    """Commands to be run in the run's output folder."""
    model = next((f for f in report.files if f.endswith("_options.ell")), f"{report.model}_options.ell")
    quoted = shlex.quote(model if not model.startswith("-") else f"./{model}")
    target = shlex.quote(report.target)
    commands = [
        Command(
            "Build a library for the target: C header, static library, CMake file, example and Python wrapper.",
            f"ellopt compile {quoted} --target {target} -o deploy",
        ),
        Command(
            "Run the tuned model once on this machine (NumPy array in, NumPy array out).",
            f"ellopt predict {quoted} --input in.npy --output out.npy --target host",
        ),
    ]
    if report.target == "host":
        commands.append(Command("Time it as it would be deployed.", f"ellopt bench {quoted}"))
    if "compile_switches.txt" in report.files:
        commands.append(
            Command(
                "Or compile it with ELL's own tools; the switches are kept.",
                'eval "compile $(cat compile_switches.txt)"',
            )
        )
    return tuple(commands)
