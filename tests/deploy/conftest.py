"""One compiled library for the tests that only use it."""

from __future__ import annotations

import pytest

from ellopt.deploy.run import DeployedLibrary, compile_library
from ellopt.frontends.ell.read import read_model
from ellopt.targets import find_target
from tests.support.paths import DATA

NET = DATA / "cases" / "fork_hang" / "net.ell"


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> DeployedLibrary:
    """A network of 16x16x3 inputs."""
    return compile_library(read_model(NET), tmp_path_factory.mktemp("net") / "net", find_target("host"), name="net")
