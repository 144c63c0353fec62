"""The page as a browser draws it: light, dark, on paper, on a narrow screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from ellopt.report.compare.compare import compare
from ellopt.report.compare.html import render_comparison
from ellopt.report.html import render
from tests.support.reports import sample_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(render(sample_report()), encoding="utf-8")
    comparison = render_comparison(compare(sample_report(1), sample_report(2)))
    (folder / "comparison.html").write_text(comparison, encoding="utf-8")
    return folder


def browse(folder: Path, page: str, *options: str) -> str:
    """What chromium writes to its standard output. The folder is also its profile's."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'profile'}", *options, (folder / page).as_uri()]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def picture(folder: Path, page: str, *options: str) -> np.ndarray:
    file = folder / "picture.png"
    browse(folder, page, "--window-size=1100,3000", f"--screenshot={file}", *options)
    return np.asarray(matplotlib.image.imread(file))[..., :3]


@pytest.mark.parametrize("page", ["report.html", "comparison.html"])
def test_light_and_dark(pages: Path, page: str) -> None:
    light = picture(pages, page)
    dark = picture(pages, page, "--blink-settings=preferredColorScheme=0")
    assert np.median(light) > 0.9
    assert np.median(dark) < 0.2
    for shown in (light, dark):
        paper = np.median(shown, axis=(0, 1))
        drawn = (np.abs(shown - paper).max(axis=-1) > 0.3).mean()
        assert 0.005 < drawn < 0.5  # there is something on it, and it is not covered


def test_on_paper(pages: Path) -> None:
    browse(pages, "report.html", f"--print-to-pdf={pages / 'report.pdf'}", "--no-pdf-header-footer")
    content = (pages / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 15


@pytest.mark.parametrize("page", ["report.html", "comparison.html"])
@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_sticks_out(pages: Path, page: str, width: int) -> None:
    """Wide tables and charts scroll inside their own box: the page itself never scrolls sideways."""
    html = (pages / page).read_text(encoding="utf-8")
    measuring = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace(
        "</body>", "<script>document.title = document.documentElement.scrollWidth + '/' + innerWidth</script></body>"
    )
    (pages / "measured.html").write_text(measuring, encoding="utf-8")
    shown = browse(pages, "measured.html", f"--window-size={width},900", "--dump-dom")
    title = re.search(r"<title>(\d+)/(\d+)</title>", shown)
    assert title is not None
    assert int(title[1]) <= int(title[2])


def test_the_policy_lets_no_script_run(pages: Path) -> None:
    html = (pages / "report.html").read_text(encoding="utf-8")
    injected = html.replace("</body>", "<script>document.title = 'it ran'</script></body>")
    (pages / "injected.html").write_text(injected, encoding="utf-8")
    assert "<title>it ran</title>" not in browse(pages, "injected.html", "--dump-dom")
