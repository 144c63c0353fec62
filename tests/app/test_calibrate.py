"""A board is compared with its estimate, and what is kept of that is believed only where it can be right."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.app.calibrate import calibrate
from ellopt.app.estimating import make_simulator
from ellopt.estimate.calibration.store import Calibration, find, keep
from ellopt.targets import find_target
from tests.support.devices.bundles import short_directory
from tests.support.devices.openssh import openssh_server
from tests.support.simulated import needs_qemu

TARGET = find_target("pi3_64", 1)


@needs_qemu
def test_a_board_says_the_factor_and_later_estimates_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_directory() as root, openssh_server(root) as server:
        found, path = calibrate(server.settings(emulate=True), TARGET)
        assert path.is_relative_to(root / "state")
        assert {"independent sums", "reading memory", "many channels, winograd"} <= set(found.ratios)
        assert min(found.ratios.values()) <= found.factor <= max(found.ratios.values())
        monkeypatch.setenv("XDG_STATE_HOME", str(root))
        path.parent.parent.rename(root / "ellopt")  # where this user's own state would be
        simulator, plain = make_simulator(TARGET), make_simulator(TARGET, calibrated=False)
    assert (simulator.calibrated, plain.calibrated) == (True, False)
    assert simulator.mhz == pytest.approx(plain.mhz / found.factor)
    assert simulator.board != plain.board
    assert simulator.error >= plain.error


ratios = st.dictionaries(st.text(min_size=1), st.floats(0.01, 100), min_size=1)


@given(ratios)
def test_what_is_kept_is_found_again(tmp_path_factory: pytest.TempPathFactory, found: dict[str, float]) -> None:
    directory = tmp_path_factory.mktemp("state")
    calibration = Calibration("pi4_64", "a board", found)
    keep(directory, calibration)
    assert find(directory, "pi4_64") == calibration
    assert find(directory, "pi5") is None
    assert calibration.spread >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"ratios": {}}, {"ratios": {"x": 0}}, {"ratios": {"x": -1.0}}, {"ratios": {"x": 1e9}}, {"ratios": {"x": "1"}},
        {"version": 2}, {"model_version": 0}, {"target": "pi5"}, {"further": 1}, {"ratios": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_right_is_passed_over_with_the_file_s_name(
    change: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = keep(tmp_path, Calibration("pi4_64", "a board", {"x": 1.5}))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with caplog.at_level(logging.WARNING):
        assert find(tmp_path, "pi4_64") is None
    assert str(path) in caplog.text
