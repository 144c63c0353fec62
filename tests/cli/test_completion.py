"""Shell completion."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.cli.main import main
from tests.support.paths import REPOSITORY


def test_the_completion_script_is_bash_and_knows_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    for word in ("optimize", "predict", "doctor", "--model_path", "--accept_new_host_keys"):
        assert word in script
    bash = shutil.which("bash")
    if bash is not None:
        subprocess.run([bash, "-n"], input=script, text=True, check=True, timeout=30)


#: Bash asks as it does when TAB is pressed behind the words.
_ASK = """
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
compopt() { :; }
$(complete -p ellopt | grep -o -- '-F [^ ]*' | cut -c4-) ellopt "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    return printed.getvalue()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("optimize --target pi4", {"pi4", "pi4_64"}),
        ("optimize --options ", {"extended", "default", "quick"}),
        ("optimize --sampler ", {"grid", "tpe", "random", "auto"}),
        ("optimize --verbosity W", {"WARNING"}),
        ("compile --target hos", {"host"}),
        ("optimize --accept_new", {"--accept_new_host_keys"}),
        ("comp", {"compile", "compare"}),
        ("show mod", {"model.ell"}),
    ],
)
def test_values_are_completed(words: str, found: set[str], script: str, tmp_path: Path) -> None:
    (tmp_path / "model.ell").touch()
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not there")
    command = [bash, "-c", script + _ASK, "bash", "ellopt", *words.split(" ")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert set(done.stdout.split()) == found


#: What tells, in each shell, which samplers it offers, or that it calls something for the command.
_TELL = {
    "bash": ("-c", "complete -p ellopt"),
    "fish": ("--no-config", "-c", "complete -C 'ellopt optimize --sampler '"),
    "zsh": ("-f", "-c", 'print "$_comps[ellopt]"'),
    "tcsh": ("-f", "-c", "complete ellopt"),
}


@pytest.mark.parametrize("shell", sorted(_TELL))
def test_the_readme_says_how_each_shell_learns_it(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not there")
    (line,) = re.findall(
        r"^Shell completion: (.*?)\n\n", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    said = re.findall(r"`([^`]*print-completion[^`]*)`", line)
    learn = next((text for text in said if shell in text), said[0].replace("bash", shell))
    if shell == "zsh":
        learn = f"autoload -U compinit; compinit -u -D; {learn}"
    *options, tell = _TELL[shell]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [program, *options, f"{learn}\n{tell}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search("_shtab_ellopt|grid|optimize", done.stdout), (done.stdout, done.stderr)
