"""What a run's events become in MLflow."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param, _validate_tag

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.trial import Trial, TrialState
from ellopt.tracking.codes import code
from ellopt.tracking.events import best_trial_marks, confirmation_record, final_metrics, texts, trial_record
from ellopt.tracking.summary import description, measurements_csv
from tests.support.tracking_runs import WINNER, make_report, make_start, make_trials

_TEXT = st.text(min_size=1, max_size=300)


def measured(node: str, ms: float = 1.0) -> Trial:
    plan = Plan.uniform([node], ConvolutionOptions("simple"))
    return Trial(plan, PlanSamples(plan, (ms,), {node: (ms,)}), number=1)


@given(node=_TEXT, layer=st.text(max_size=300), reason=st.text(max_size=9000))
def test_mlflow_takes_whatever_a_model_calls_its_nodes(node: str, layer: str, reason: str) -> None:
    trial = replace(measured(node), state=TrialState.PRUNED, reason=reason)
    record = trial_record(trial, replace(make_start(Path()), layer_names={node: layer}), 0, 1)
    for key, value in record.params.items():
        _validate_param(key, value)
    for key in (*record.metrics, *record.history):
        _validate_metric_name(key)
    for key, value in record.tags.items():
        _validate_tag(key, value)


@pytest.mark.parametrize("node", ["", ".", "..", "a/b", "/", "1040/../2", "a:b", "layer one", "ü"])
def test_mlflow_takes_odd_node_ids(node: str) -> None:
    record = trial_record(measured(node), make_start(Path()), 0, 1)
    for key in (*record.params, *record.metrics):
        _validate_metric_name(key)


def test_times_of_different_machines_are_different_metrics() -> None:
    report, start = make_report(make_trials(2)), make_start(Path())
    reports = (report, replace(report, target="pi3"), replace(report, target="pi3", emulated=True))
    names = [{key for key in final_metrics(r, start) if key.startswith("tuned_ms/")} for r in reports]
    assert names == [{"tuned_ms/host"}, {"tuned_ms/pi3"}, {"tuned_ms/pi3 emulated"}]


def test_the_parent_has_the_outcome_of_each_layer_and_trials_what_they_saw() -> None:
    report, start = make_report(make_trials(5)), make_start(Path())
    final, raw = final_metrics(report, start), trial_record(report.trials[0], start, 0, 1).metrics
    for layer in report.layers:
        label = f"{layer.node_id} {layer.name}"
        assert (final[f"winner_ms/{label}"], final[f"default_ms/{label}"]) == pytest.approx(
            (layer.winner_ms, layer.default_ms)
        )
        assert raw[f"trial_ms/{label}"] == pytest.approx(report.trials[0].layers_ms[layer.node_id], abs=1e-5)
    assert not any(key.startswith("trial_ms/") for key in final)


def test_infinite_and_missing_latencies_are_no_metrics() -> None:
    trial = measured("7", float("inf"))
    assert set(trial_record(trial, make_start(Path()), 0, 1).metrics) == {"board_seconds"}


@pytest.mark.parametrize(("state", "status"), [*zip(TrialState, ("FINISHED", "KILLED", "FAILED"), strict=True)])
def test_a_trial_s_state_is_its_status_and_its_reason_can_be_read(state: TrialState, status: str) -> None:
    record = trial_record(replace(measured("7"), state=state, reason="because"), make_start(Path()), 5, 9)
    assert (record.status, record.tags["state"], record.tags["reason"]) == (status, state, "because")
    assert record.tags["mlflow.note.content"].startswith(f"**{state.capitalize()}**: because\n")
    assert (record.start_ms, record.end_ms) == (5, 9)


def test_the_latency_comes_first_for_it_is_what_mlflow_compares_unasked() -> None:
    trial = make_trials(1)[0]
    record = trial_record(trial, make_start(Path()), 0, 1)
    assert next(iter(record.metrics)) == next(iter(record.history)) == "latency_ms"


def test_long_texts_are_cut() -> None:
    cut = texts({"a": "x" * 20_000, "b": "y", "c": ""})
    assert len(cut["a"]) < 5000
    assert cut["a"].endswith("…")
    assert (cut["b"], "c" in cut) == ("y", False)


def test_the_winner_is_marked_and_the_best_trial_too() -> None:
    trials = make_trials(30)
    report = make_report(trials)
    records = [confirmation_record(whole, report, make_start(Path()), 0) for whole in report.confirmation.candidates]
    assert [record.tags.get("winner") for record in records] == [None, "yes"]
    (key,) = best_trial_marks(report)
    best = min((trial for trial in trials if trial.total_ms is not None), key=lambda trial: trial.total_ms or 0)
    assert key == f"trial/{best.number}"
    assert best_trial_marks(replace(report, trials=())) == {}


def test_the_outcome_s_metrics_are_those_of_the_confirmation() -> None:
    metrics = final_metrics(make_report(make_trials(5)), make_start(Path()))
    assert metrics["latency_ms"] == pytest.approx(3.8)
    assert metrics["default_latency_ms"] == pytest.approx(9.8)
    assert metrics["gain_percent"] == pytest.approx(61.22449)


def test_the_description_tells_the_outcome() -> None:
    text = description(make_report(make_trials(5)))
    assert text.startswith("**9.800 ms → 3.800 ms** a pass, 61.2 % less than ELL's default · {views}\n")
    assert "95 % confidence interval of the gain: 55.0 to 65.0 %." in text
    assert (
        f"| 1042 conv2 | 3x3/1 16x16x8 -\\> 16x16x8 | winograd s8 f2 c4 parallel `{code(WINNER)}` | 1.800 | 4.800 |"
    ) in text
    assert "`net_options.ell`" in text


def test_the_description_of_a_model_that_nothing_made_faster_says_so() -> None:
    report = make_report(make_trials(5))
    confirmation = replace(report.confirmation, chosen=report.confirmation.before, against_before=None)
    text = description(replace(report, confirmation=confirmation))
    assert text.startswith("**9.800 ms → 9.800 ms** a pass, ELL's default, nothing was faster · {views}\n")


def test_the_description_of_a_large_model_fits_and_says_what_it_leaves_out() -> None:
    text = description(make_report(make_trials(2, 300), 300))
    assert len(text) < 4500
    assert "smaller layers: see `tuning_report.json`" in text
    assert "| 2230 conv299 |" in text  # the layer with the largest share stays


def test_an_emulated_run_says_so_and_a_slower_result_too() -> None:
    report = make_report(make_trials(2))
    slower = replace(report.confirmation, before="assembled", chosen="ell default", against_before=None)
    text = description(replace(report, emulated=True, confirmation=slower))
    assert "emulator" in text
    assert "% more than ELL's default" in text


def test_the_table_of_measurements_holds_all_raw_samples() -> None:
    report = make_report(make_trials(5))
    rows = list(csv.DictReader(io.StringIO(measurements_csv(report))))
    assert len(rows) == sum(len(layer.variants) for layer in report.layers)
    row = next(r for r in rows if r["node_id"] == "1038" and r["options"] == "winograd s8 f2 c4 parallel")
    assert [float(sample) for sample in row["samples_ms"].split()] == pytest.approx([1.2, 1.224])
    assert (row["winner"], row["default"], row["samples"]) == ("True", "False", "2")
