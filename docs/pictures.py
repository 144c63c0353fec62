"""Draws the guide's pictures from a tuning run: ``python docs/pictures.py out/cnn64``. Needs Chromium and its driver.

Those of MLflow are of the run's own pages, in the store that the run was logged to.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.report.text import closing
from ellopt.tracking.serving import served
from ellopt.tracking.ui import find_store, pages_of
from ellopt.tracking.views import choices_page, trials_page

IMAGES = Path(__file__).parent / "images"
WIDTH = 104


def main(directory: Path) -> None:
    report = TuningReport.load(directory / "tuning_report.json")
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "quickstart.svg").write_text(table(report), encoding="utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is not installed: the pictures of the page were left out")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(render(report), encoding="utf-8")
        for name, scheme in (("report-light", "1"), ("report-dark", "0")):
            photograph(browser, page, IMAGES / f"{name}.png", scheme, 1350)
    photograph_mlflow(browser, directory)


def table(report: TuningReport) -> str:
    """The closing table as SVG in the reader's own monospaced font: nothing is fetched from anywhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    store = {**report.mlflow_run, "tracking_uri": "sqlite:///mlflow.db"} if report.mlflow_run else {}
    console.print(closing(replace(report, mlflow_run=store), Path("out") / report.tag))
    svg = console.export_svg(title="mlflow run . --env-manager local", theme=DIMMED_MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono'")


def photograph(browser: str, page: Path, picture: Path, scheme: str, height: int) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={page.parent}/p"]
    options += [f"--window-size=1040,{height}", f"--blink-settings=preferredColorScheme={scheme}"]
    subprocess.run([browser, *options, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
    smaller(picture)


def smaller(picture: Path) -> None:
    Image.open(picture).convert("RGB").quantize(96).save(picture, optimize=True)


def photograph_mlflow(browser: str, directory: Path) -> None:
    """The saved views of the run, as ``ellopt ui`` opens them."""
    store = find_store(directory)
    run, experiment = store.runs[0].run_id, pages_of(store).runs[0].run.split("/")[2]
    with served(store.uri) as server:
        server.ready()
        options = Options()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,1150"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.get(f"{server.address}/")
            for key, value in (("panelOpen_v1", "false"), ("fab.autoOpenedOnFirstLoad_v1", "true")):
                driver.execute_script(f"localStorage.setItem('mlflow.assistant.{key}', '{value}')")
            pages = {"mlflow-trials": trials_page, "mlflow-parallel-coordinates": choices_page}
            for name, page in pages.items():
                driver.get("about:blank")
                driver.get(f"{server.address}/{page(experiment, run)}")
                WebDriverWait(driver, 90).until(lambda found: "latency_ms" in found.page_source)
                WebDriverWait(driver, 30).until(lambda found: "trial 0" in found.page_source)
                time.sleep(3)  # charts move until they have their place
                driver.save_screenshot(str(IMAGES / f"{name}.png"))
                smaller(IMAGES / f"{name}.png")
        finally:
            driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
