"""What people see: MLflow's own pages in a browser, and a registered model loaded by name. Pictures are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow import MlflowClient
from mlflow.pyfunc import PyFuncModel
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from ellopt.core.errors import ConfigurationError
from ellopt.tracking import TrackingSettings, TrackingSummary, open_tracking
from tests.support.paths import REPOSITORY
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs
from tests.support.tracking_servers import free_port, pages_server, serving

PICTURES = REPOSITORY / "tests" / "output" / "mlflow_ui"
REGISTERED = "tiny16-tuned"


@pytest.fixture(scope="module")
def tuned(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, shared_models: Path
) -> Iterator[tuple[str, TrackingSummary]]:
    """A server that holds a finished run of a real model, registered; its address and what tracking said.

    ``ellopt ui`` started it."""
    place = tmp_path_factory.mktemp("ui")
    shutil.copy(empty_store, place / "mlflow.db")
    output = place / "out"
    report = make_report(make_trials(27), name="tiny16")
    write_outputs(output, report)
    shutil.copy(shared_models / "tiny16.ell", output / "tiny16_options.ell")
    with pytest.MonkeyPatch.context() as patch, pages_server(place, place / "mlflow.db", free_port()) as address:
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", address)
        mlflow.set_tracking_uri(None)
        patch.setenv("MLFLOW_TRACKING_URI", address)
        with open_tracking(TrackingSettings(register=REGISTERED, patience=120)) as tracker:
            model = tracker.start_model(make_start(output, "tiny16"))
            for trial in report.trials:
                model.trial_finished(trial, {"profile_report.txt": "Node statistics\n"})
            model.finish_model(report, output, {"input": (16, 16, 3)})
        yield address, tracker.summary


@pytest.fixture(scope="module")
def registered(tuned: tuple[str, TrackingSummary]) -> PyFuncModel:
    """The registered model, compiled for this machine."""
    return mlflow.pyfunc.load_model(f"models:/{REGISTERED}@champion")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no chromium and chromedriver here (Debian packages chromium and chromium-driver)")
    options = Options()
    options.binary_location = chromium
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1700,1100"):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


class Pages:
    """MLflow's pages, opened, read and photographed."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address
        PICTURES.mkdir(parents=True, exist_ok=True)

    def open(self, page: str) -> None:
        self.browser.get(f"{self.address}/{page}")
        # MLflow opens a side panel of its own on the first visit; whoever is used to it has closed it.
        self.browser.execute_script("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
        self.browser.execute_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        self.browser.refresh()

    def wait_for(self, xpath: str) -> WebElement:
        def visible(browser: webdriver.Chrome) -> WebElement | None:
            return next((found for found in browser.find_elements(By.XPATH, xpath) if found.is_displayed()), None)

        found: WebElement = WebDriverWait(self.browser, 45, ignored_exceptions=[Exception]).until(
            visible, f"not on the page: {xpath}"
        )
        return found

    def follow(self, link: str) -> None:
        """Click on a link of the description; MLflow opens it in a new tab."""
        self.wait_for(f"//a[text()={link!r}]").click()
        self.browser.close()
        self.browser.switch_to.window(self.browser.window_handles[-1])

    def text(self, text: str) -> WebElement:
        return self.wait_for(f"//*[contains(text(), {text!r})]")

    def all(self, xpath: str) -> list[WebElement]:
        return self.browser.find_elements(By.XPATH, xpath)

    def picture(self, name: str) -> None:
        self.browser.save_screenshot(str(PICTURES / f"{name}.png"))


@pytest.fixture
def pages(browser: webdriver.Chrome, tuned: tuple[str, TrackingSummary]) -> Pages:
    return Pages(browser, tuned[0])


@pytest.fixture
def parent(tuned: tuple[str, TrackingSummary]) -> dict[str, str]:
    return dict(tuned[1].runs["tiny16"])


def child(parent: dict[str, str], tag: str) -> str:
    """The page of the nested run that a filter finds."""
    found = MlflowClient().search_runs([parent["experiment_id"]], tag, max_results=1)
    return f"#/experiments/{parent['experiment_id']}/runs/{found[0].info.run_id}?workflowType=machine_learning"


def test_everything_arrived_through_the_server(tuned: tuple[str, TrackingSummary]) -> None:
    _, summary = tuned
    assert (summary.waiting, summary.trouble) == (0, "")
    assert summary.registered == (f"{REGISTERED} version 1",)


def test_the_registered_model_computes_what_ell_computed(
    tuned: tuple[str, TrackingSummary], shared_models: Path
) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{REGISTERED}/1")
    output = model.predict(np.load(shared_models / "tiny16.input.npy"))
    assert isinstance(output, np.ndarray)
    np.testing.assert_allclose(output.ravel(), np.load(shared_models / "tiny16.expected.npy").ravel(), atol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
def test_the_registered_model_takes_batches_of_any_numbers(kind: str, registered: PyFuncModel) -> None:
    images = (np.random.default_rng(3).random((3, 16, 16, 3)) * 9).astype(kind)
    outputs = registered.predict(images)
    singles = [registered.predict(image) for image in images]
    assert outputs.shape == (3, *singles[0].shape)
    np.testing.assert_array_equal(outputs, np.stack(singles))
    with pytest.raises(ConfigurationError, match="16"):
        registered.predict(images[:, :15])


def test_the_registered_model_is_served(tuned: tuple[str, TrackingSummary], registered: PyFuncModel) -> None:
    images = np.random.default_rng(4).random((2, 16, 16, 3))
    with serving(f"models:/{REGISTERED}@champion", tuned[0]) as address:
        answer = requests.post(f"{address}/invocations", json={"inputs": images.tolist()}, timeout=60)
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["predictions"], registered.predict(images), rtol=1e-5)


def test_the_registered_model_says_what_it_is(tuned: tuple[str, TrackingSummary]) -> None:
    client = MlflowClient()
    version = client.get_model_version_by_alias(REGISTERED, "champion")
    assert (str(version.version), version.tags["target"], version.tags["latency_ms"]) == ("1", "host", "3.8")
    assert float(version.tags["gain_percent"]) == pytest.approx(61.2, abs=0.1)
    assert "9.800 ms → 3.800 ms" in version.description
    assert "16 x 16 x 3, or a batch of them" in version.description
    assert "champion" in client.get_registered_model(REGISTERED).description
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    metrics = {metric.key: metric.value for metric in logged.metrics}
    assert metrics["latency_ms"] == pytest.approx(3.8)


def test_the_experiment_shows_one_run_for_the_model(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(f"#/experiments/{parent['experiment_id']}/runs?workflowType=machine_learning")
    pages.text("tiny16 on host")
    assert pages.text("Each run is one model that ellopt tuned")
    pages.picture("1-experiment")


def test_the_run_tells_the_outcome_and_leads_to_the_sorted_trials(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(parent["page"])
    pages.text("9.800 ms → 3.800 ms")
    pages.wait_for("//*[contains(., 'sampler') and contains(., 'tpe')]")
    pages.picture("2-run")
    pages.follow("trials by latency")
    pages.text("winner: assembled")
    names = "//*[starts-with(text(), 'trial 0') or starts-with(text(), 'winner: ')]"
    WebDriverWait(pages.browser, 45).until(lambda _: len(pages.all(names)) > 8)
    pages.picture("3-trials-by-latency")
    rows = {round(name.location["y"]): name.text for name in pages.all(names)}
    assert rows[min(rows)] == "winner: assembled"
    best = min((t for t in make_trials(27) if t.total_ms), key=lambda t: t.total_ms or 0)
    assert [rows[y] for y in sorted(rows)][1] == f"trial {best.number:03d}"


def test_parallel_coordinates_show_choices_against_latency(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(parent["page"])
    pages.follow("layer choices against latency")
    pages.text("Parallel Coordinates")
    for axis in ("1034 conv0", "1038 conv1", "1042 conv2", "latency_ms"):
        pages.wait_for(f"//*[name()='svg']//*[name()='text' and contains(., '{axis}')]")
    pages.picture("4-parallel-coordinates")


def test_selected_trials_can_be_compared(pages: Pages, parent: dict[str, str]) -> None:
    found = MlflowClient().search_runs([parent["experiment_id"]], "tags.kind = 'trial' and tags.state = 'complete'")
    ids = "%22,%22".join(run.info.run_id for run in found[:8])
    experiment = parent["experiment_id"]
    pages.open(f"#/compare-runs?runs=[%22{ids}%22]&experiments=[%22{experiment}%22]&workflowType=machine_learning")
    pages.text("Parallel Coordinates Plot")
    for axis in ("1034 conv0", "1038 conv1", "1042 conv2", "latency_ms"):
        pages.wait_for(f"//*[name()='svg']//*[name()='text' and contains(., '{axis}')]")
    pages.picture("5-compare")


def test_charts_show_each_layer_s_latency_across_trials(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(parent["page"].replace("?", "/model-metrics?"))
    pages.text("trial_ms")
    pages.wait_for("//*[contains(@class, 'js-plotly-plot')]")
    pages.picture("6-charts")


def test_the_winner_is_tagged(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(child(parent, "tags.winner = 'yes'"))
    pages.text("winner: assembled")
    pages.wait_for("//*[contains(., 'winner') and contains(., 'yes')]")
    pages.text("The assembled plan was the fastest")
    pages.picture("7-winner")


@pytest.mark.parametrize(
    ("state", "reason"), [("failed", "the compiler crashed"), ("pruned", "3.1 times slower than the best")]
)
def test_failed_and_pruned_trials_say_why(pages: Pages, parent: dict[str, str], state: str, reason: str) -> None:
    pages.open(child(parent, f"tags.state = '{state}'"))
    pages.text(reason)
    pages.picture(f"8-{state}")


def test_the_tuned_model_is_among_the_artifacts(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(parent["page"].replace("?", "/artifacts?"))
    pages.text("tiny16_options.ell").click()
    pages.wait_for("//*[contains(text(), 'Path')]")
    pages.picture("9-artifacts")
    pages.text("measurements.json").click()
    pages.text("median_ms")
    pages.picture("10-measurements")


def test_the_registry_shows_the_model(pages: Pages, parent: dict[str, str]) -> None:
    pages.open(f"#/models/{REGISTERED}?workflowType=machine_learning")
    pages.text("Version 1")
    pages.picture("11-registered-model")
