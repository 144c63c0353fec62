"""A search on this machine imports what it needs: each of these takes a third of a second and more."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("scipy", "sqlalchemy", "paramiko", "requests", "mlflow", "pandas", "matplotlib", "distributed", "PIL")
PROGRAM = f"""
import json, sys
import ellopt.cli.commands.optimize, ellopt.app.tune_all, ellopt.devices.local, ellopt.search.samplers.racing
from ellopt.core.statistics import compare
compare([1.0, 2.0, 3.0], [1.5, 2.5, 3.5], paired=True)
compare([1.0, 2.0, 3.0], [1.5, 2.5, 3.5], paired=False)
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def test_what_is_not_needed_here_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == []
