"""Who may take part in a fleet, and what is said to whoever may not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.measure.executors.dask.settings import FleetSettings
from tests.support.fleet import ProcessFleet
from tests.support.paths import TINY
from tests.support.patience import eventually


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's certificate, one that it signed, and one of another authority."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("req", *curve[:-2], "-subj", "/CN=us", "-keyout", "us.key", "-out", "us.csr")
    openssl("x509", "-req", "-in", "us.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", "us.pem")  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://192.168.1.9:8786", "not on this machine"),
        ("lab.example:8786", "not on this machine"),
        ("tls://lab.example:8786", "needs certificates"),
        ("http://127.0.0.1:8786", "no address"),
        ("tcp://127.0.0.1", "no address"),
        ("tcp://127.0.0.1:99999", "no address"),
        ("tcp://user@127.0.0.1:1", "no address"),
    ],
)
def test_an_address_that_may_not_be_used_is_refused_before_it_is_called(
    address: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "scheduler.json"
    written.write_text(json.dumps({"address": address}))
    for given in (["--scheduler", address], ["--scheduler_file", str(written)]):
        for command in (
            ["optimize", "--model_path", str(TINY), "-o", str(tmp_path / "out"), "--no_mlflow"],
            ["worker", "--builds", "1"],
            ["devices"],
        ):
            assert main([*command, *given]) == 2
            assert why in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786", "127.9.9.9:1"])
def test_this_machine_needs_no_certificates(address: str) -> None:
    assert FleetSettings(address).address().endswith(address)


def test_what_contradicts_a_fleet_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuning = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path / "out"), "--scheduler", "127.0.0.1:1"]
    assert main([*tuning, "--ipaddress", "192.168.1.20"]) == 2
    assert "--scheduler and --ipaddress contradict each other" in capsys.readouterr().err
    assert main(["worker", "--target", "pi3"]) == 2
    assert "no scheduler was named" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="belong together"):
        FleetSettings("tls://127.0.0.1:1", tls_ca=tmp_path)
    (tmp_path / "other").write_text("[]")
    with pytest.raises(ConfigurationError, match="not written by a Dask scheduler"):
        FleetSettings(scheduler_file=tmp_path / "other").address()


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuning = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path / "out"), "--scheduler", "127.0.0.1:1"]
    assert main([*tuning, "--no_mlflow"]) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def fleet(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFleet]:
    """A scheduler with TLS; a worker with boards, one of another version, and one of another authority."""

    def files(name: str) -> list[str]:
        return ["--tls_ca", f"{certificates}/ca.pem", "--tls_cert", f"{certificates}/{name}.pem",
                "--tls_key", f"{certificates}/{name}.key"]  # fmt: skip

    scheduler = [text.replace("_", "-").replace("tls-ca", "tls-ca-file") if text.startswith("--") else text
                 for text in files("us")]  # fmt: skip
    with ProcessFleet(tmp_path_factory.mktemp("fleet"), "--protocol", "tls", *scheduler) as started:
        started.address = started.address.replace("tcp://", "tls://")
        boards = ("--target", "pi3", "--ipaddress", "one", "two")
        started.start_worker("gateway", *boards, *files("us"))
        started.start_worker("old", *boards, *files("us"), FLEET_TEST_VERSION="0.0.9")
        started.start_worker("stranger", *boards, *files("stranger"))
        for name in ("gateway", "old"):
            assert eventually(partial(started.is_there, name)), started.log(name)
        yield started


def test_certificates_decide_who_takes_part(
    fleet: ProcessFleet, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = ["--tls_ca", f"{certificates}/ca.pem", "--tls_cert", f"{certificates}/us.pem", "--tls_key",
            f"{certificates}/us.key"]  # fmt: skip
    assert main(["devices", "--target", "pi3", "--scheduler", fleet.address, "--json", *ours]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["state"], row["fits"]) for row in rows] == [
        ("gateway: one", "offered", True),
        ("gateway: two", "offered", True),
        ("old: one", "other version", False),
        ("old: two", "other version", False),
    ]
    assert "it has ellopt 0.0.9" in rows[2]["comment"]
    assert eventually(lambda: "the scheduler at" in fleet.log("stranger") or "Waiting" in fleet.log("stranger"))
    assert not fleet.is_there("stranger")

    theirs = [text.replace("us.", "stranger.") for text in ours]
    assert main(["devices", "--target", "pi3", "--scheduler", fleet.address, *theirs]) == 1
    assert "no Dask scheduler answers" in capsys.readouterr().err


def test_a_fleet_without_what_is_wanted_says_what_it_has(
    fleet: ProcessFleet, certificates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path / "out"), "--scheduler", fleet.address,
              "--target", "pi4_64", "--no_mlflow", "--tls_ca", f"{certificates}/ca.pem", "--tls_cert",
              f"{certificates}/us.pem", "--tls_key", f"{certificates}/us.key"]  # fmt: skip
    assert main(tuning) == 2
    said = capsys.readouterr().err
    assert "--target pi4_64: no worker of the fleet has boards" in said
    assert "gateway: its boards are pi3" in said
    assert "old: it has ellopt 0.0.9" in said
