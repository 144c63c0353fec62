"""Fixtures that every part of the suite uses."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from ellopt.cli.logs import BoundedFileHandler, TerminalHandler
from ellopt.core.deadline import Deadline
from ellopt.devices.local import LocalDevice, LocalPool
from tests.support.ell_standin.install import install
from tests.support.paths import REPOSITORY, TINY

# How long a test takes on a busy machine says nothing about what it tests.
settings.register_profile("ellopt", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ellopt")


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's store and cache; all share one that is new. No width is said, either, as
    pytest-xdist says one to its workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("ELLOPT_STORE", str(tmp_path_factory.mktemp("store") / "measurements.sqlite"))
        base = tmp_path_factory.getbasetemp()
        patch.setenv("ELLOPT_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"))
        yield


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real models written by ELL, with inputs and ELL's own outputs."""
    root = Path(os.environ.get("ELLOPT_SHARED", REPOSITORY.parent / "shared"))
    if not (root / "models").is_dir():
        pytest.skip(f"the shared models are not at {root} (set ELLOPT_SHARED to the folder that holds models/)")
    return root / "models"


@pytest.fixture(scope="session")
def shared_onnx(shared_models: Path) -> Path:
    """The folder of real ONNX models, with inputs and onnxruntime's outputs."""
    folder = shared_models.parent / "onnx"
    if not folder.is_dir():
        pytest.skip(f"the shared ONNX models are not at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _logging_as_at_the_start() -> Iterator[None]:
    """Commands that run inside tests and their fixtures set logging up; the next test must not notice."""
    _forget_logging()
    yield
    _forget_logging()


def _forget_logging() -> None:
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, (TerminalHandler, BoundedFileHandler))]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.WARNING)
    logging.getLogger("ellopt").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def shared_samples(shared_models: Path) -> Path:
    """The folder of files that ELL's own tools wrote."""
    return shared_models.parent / "samples"


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    """A small model with three convolutions."""
    return TINY


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a map (or plain text) as a model file."""

    def write_file(content: Any, name: str = "m.ell") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_file


@pytest.fixture(scope="session")
def standin_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in keeps compiled kernels."""
    return tmp_path_factory.mktemp("standin-objects")


@pytest.fixture(scope="session")
def standin_root(tmp_path_factory: pytest.TempPathFactory, standin_cache: Path) -> Path:
    """A build tree with stand-ins, as ELL's build leaves it."""
    return install(tmp_path_factory.mktemp("ell") / "build", standin_cache)


@pytest.fixture(scope="session")
def ell_build_root(standin_root: Path) -> Path:
    """A build tree of ELL: the real one, if there is one."""
    return Path(os.environ["ELL_BUILD_ROOT"]) if os.environ.get("ELL_BUILD_ROOT") else standin_root


@pytest.fixture
def device() -> Iterator[LocalDevice]:
    with LocalPool() as pool, pool.lease(Deadline.after(60)) as device:
        yield device


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ELLOPT_NO_SKIP set, a run in which a test was skipped has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("ELLOPT_NO_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
