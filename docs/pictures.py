"""Draws the guide's pictures from a tuning run: ``python docs/pictures.py out/cnn64``. Needs Chromium for the page.

The picture of MLflow's page is one that tests/tracking/test_mlflow_ui.py leaves in tests/output.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.report.text import closing

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
    Image.open(picture).convert("RGB").quantize(96).save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
