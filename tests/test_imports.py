"""Importing a module does nothing but define: nothing but the package's own files is looked at, nothing started."""

from __future__ import annotations

import subprocess
import sys

#: Imports every module; prints what code of ours, run by an import, opened, listed, started or connected to.
_SCRIPT = """
import importlib, os, pkgutil, sys
import ellopt

HOME = os.path.dirname(ellopt.__file__) + os.sep
WATCHED = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.putenv", "os.unsetenv",
           "subprocess.Popen", "os.system", "os.posix_spawn", "socket.connect", "socket.getaddrinfo", "socket.bind",
           "tempfile.mkdtemp", "tempfile.mkstemp", "glob.glob", "shutil.rmtree", "signal.pthread_kill"}

def hook(event, args):
    if event not in WATCHED or str(args[:1][0] if args else "").startswith(HOME[:-1]):
        return
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return  # a module is being looked for, or a library does what it does when it is imported
        if name.startswith(HOME):
            print(name.removeprefix(HOME), frame.f_lineno, event, args)
            return
        frame = frame.f_back

sys.addaudithook(hook)
for module in pkgutil.walk_packages(ellopt.__path__, "ellopt."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def work_at_import(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def test_importing_every_module_does_no_work() -> None:
    assert work_at_import(_SCRIPT) == ""


def test_work_at_import_would_be_seen() -> None:
    working = "from pathlib import Path\nPath('/proc/cpuinfo').exists() and Path('/proc/cpuinfo').read_bytes()"
    compiled = f"exec(compile({working!r}, HOME + 'working.py', 'exec'))"
    assert "/proc/cpuinfo" in work_at_import(_SCRIPT.split("for module")[0] + compiled)
