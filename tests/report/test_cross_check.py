"""A report whose parts contradict each other is refused, and the message names the file and the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt import __version__
from ellopt.app.environment import environment, now
from ellopt.core.errors import ConfigurationError
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.report.document import TuningReport
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from ellopt.select.confirm import ASSEMBLED, BEFORE, confirm
from ellopt.select.winners import choose_winners
from tests.support.pretend import (
    MODEL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """What a search, its winners and their confirmation left."""
    directory = tmp_path_factory.mktemp("search")
    toolchain = PretendToolchain()
    space = small_space(toolchain, (1, 2))
    broken = next(o for layer in space.layers for o in layer.variants if o != layer.default and o.parallelize)
    pool = PretendPool(PretendDevice(smooth_latency(), noise=0.02, crashing=frozenset({broken})))
    measurer = DeviceMeasurer(MODEL, toolchain, pool, TARGET, directory)
    result = search(space, measurer, SearchSettings(sampler="grid"), directory)
    winners = choose_winners(result)
    confirmed = confirm(measurer, {ASSEMBLED: winners.plan, BEFORE: space.default_plan})
    report = TuningReport(
        model="net", tag="net", model_path="net.ell", model_sha256="0" * 64, target=TARGET.name, toolchain="native",
        toolchain_version="1", emulated=False, sampler="grid", seed=0, ellopt_version=__version__, created=now(),
        environment=environment(result.board, 1), space=space.report(), layers=winners.layers, trials=result.trials,
        confirmation=confirmed.confirmation, cost=result.cost, boards=result.boards,
    )  # fmt: skip
    assert {trial.state for trial in report.trials} >= {"complete", "failed"}
    return dict(json.loads(report.to_json()))


def read(document: Document, directory: Path) -> TuningReport:
    path = directory / "tuning_report.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return TuningReport.load(path)


def test_what_a_run_wrote_is_read(document: Document, tmp_path: Path) -> None:
    assert json.loads(read(document, tmp_path).to_json()) == document


def _times(value: Any, place: str = "") -> list[tuple[Any, Any, str]]:
    """Every time and count of a document: what holds it, under which key, and its place."""
    found: list[tuple[Any, Any, str]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        where = f"{place}[{key}]" if isinstance(value, list) else f"{place}.{key}" if place else str(key)
        if isinstance(item, (dict, list)):
            found += _times(item, where)
        elif isinstance(item, (int, float)) and not isinstance(item, bool) and item > 0:
            found.append((value, key, where))
    wanted = re.compile(r"_ms\b|seconds|trials_|share_of_model|number|boards\.|visits")
    return [(holder, key, where) for holder, key, where in found if wanted.search(where)]


def _swap_winner(draw: Any, d: Document) -> str:
    index = draw(st.sampled_from(range(len(d["layers"]))))
    field = draw(st.sampled_from(["winner", "default", "runner_up"]))
    d["layers"][index][field] = "winograd s99 f98 c97"
    return f"layers[{index}].{field}"


def _foreign_layer_in_a_plan(draw: Any, d: Document) -> str:
    trials = draw(st.booleans())
    plans = d["trials"] if trials else d["confirmation"]["candidates"]
    index = draw(st.sampled_from(range(len(plans))))
    plan = plans[index]["plan"]
    node_id = draw(st.sampled_from(sorted(plan)))
    if draw(st.booleans()):
        plan["nobody"] = plan[node_id]
    else:
        del plan[node_id]
    return f"trials[{index}].plan" if trials else f"confirmation.candidates[{index}].plan"


def _negative_time(draw: Any, d: Document) -> str:
    holder, key, where = draw(st.sampled_from(_times(d)))
    holder[key] = -holder[key]
    # of a list or a mapping of times, the whole is named
    return re.sub(r"((?:samples|decided|turns|modes)_ms)\[\d+\]$|(layers_ms|boards\.boards)\.[^.]+$", r"\1\2", where)


def _wrong_count(draw: Any, d: Document) -> str:
    field = draw(st.sampled_from(["trials_complete", "trials_pruned", "trials_failed"]))
    d["cost"][field] += draw(st.integers(1, 9))
    return f"cost.{field}"


def _state_without_samples(draw: Any, d: Document) -> str:
    index = draw(st.sampled_from(range(len(d["trials"]))))
    trial = d["trials"][index]
    trial["total_ms"] = 1.0 if trial["total_ms"] is None else None
    return f"trials[{index}].total_ms"


def _twice(draw: Any, d: Document) -> str:
    place, parts, field = draw(
        st.sampled_from(
            [
                ("layers", d["layers"], "node_id"),
                ("trials", d["trials"], "number"),
                ("confirmation.candidates", d["confirmation"]["candidates"], "name"),
                ("layers[0].variants", d["layers"][0]["variants"], "options"),
            ]
        )
    )
    parts.append(deepcopy(draw(st.sampled_from(parts))))
    return f"{place}[{len(parts) - 1}].{field}"


def _nobody_chosen(draw: Any, d: Document) -> str:
    field = draw(st.sampled_from(["chosen", "before"]))
    d["confirmation"][field] = "nobody"
    return f"confirmation.{field}"


def _no_date(draw: Any, d: Document) -> str:
    d["created"] = draw(st.text(alphabet="0123456789-:T", max_size=3))
    return "created"


def _improbable(draw: Any, d: Document) -> str:
    d["confirmation"]["against_before"]["p_value"] = draw(st.floats(1.01, 9) | st.floats(-9, -0.01))
    return "confirmation.against_before.p_value"


MUTATIONS: tuple[Callable[[Any, Document], str], ...] = (
    _swap_winner, _foreign_layer_in_a_plan, _negative_time, _wrong_count, _state_without_samples, _twice,
    _nobody_chosen, _no_date, _improbable,
)  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__.strip("_"))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_contradiction_is_one_error_that_names_file_and_field(
    mutate: Callable[[Any, Document], str], document: Document, tmp_path: Path, data: st.DataObject
) -> None:
    changed = deepcopy(document)
    field = mutate(data.draw, changed)
    with pytest.raises(ConfigurationError) as refused:
        read(changed, tmp_path)
    assert str(tmp_path / "tuning_report.json") in str(refused.value)
    assert f"{field}: " in str(refused.value)
