"""Shell completion."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ellopt.cli.main import main


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
