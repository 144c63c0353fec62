"""Versions of a registered model: which is the champion."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from ellopt.tracking.record import Registration
from ellopt.tracking.registry import register

NAME = "net"


@pytest.fixture
def client(workplace: Path) -> MlflowClient:
    (workplace / "net_options.ell").write_text("a model\n")
    return MlflowClient()


def version(client: MlflowClient, place: Path, latency: str, sha256: str = "1") -> str:
    tags = {"latency_ms": latency, "model_sha256": sha256, "target": "pi3"}
    run = client.create_run("0").info.run_id
    made = [register(client, run, Registration(NAME, "net_options.ell", (8, 8, 3), 0, tags), place) for _ in range(2)]
    assert made[0] == made[1]  # done again, it is the same version
    return made[0]


def test_the_newest_version_is_the_champion_unless_a_like_one_is_faster(client: MlflowClient, workplace: Path) -> None:
    def champion() -> str:
        return str(client.get_model_version_by_alias(NAME, "champion").version)

    first = version(client, workplace, "2.5")
    assert champion() == first
    version(client, workplace, "2.6")
    assert champion() == first
    trained_anew = version(client, workplace, "2.6", sha256="2")
    assert champion() == trained_anew
    assert client.get_model_version(NAME, first).tags["target"] == "pi3"
