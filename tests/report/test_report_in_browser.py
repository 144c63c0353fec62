"""The page as a browser draws it: light, dark, on paper, on a narrow screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import matplotlib.image
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ellopt.report.compare.compare import compare
from ellopt.report.compare.html import render_comparison
from ellopt.report.html import render
from tests.support.reports import sample_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed (Debian package of that name)")


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


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    program = shutil.which("chromedriver")
    if program is None:
        pytest.skip("chromedriver is not installed (Debian package chromium-driver)")
    made = webdriver.Chrome(options=options, service=Service(program))
    made.set_script_timeout(120)
    yield made
    made.quit()


def shown(driver: webdriver.Chrome, page: Path, width: int, height: int = 900, **media: object) -> None:
    """Open a page in a window of so many pixels, everything in it unfolded."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.as_uri())
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("page", ["report.html", "comparison.html"])
@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1200, "dark")])
def test_axe_finds_nothing(driver: webdriver.Chrome, pages: Path, page: str, width: int, scheme: str) -> None:
    shown(driver, pages / page, width, features=[{"name": "prefers-color-scheme", "value": scheme}])
    driver.execute_script((Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
    assert len(found["passes"]) > 10
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def test_winners_are_read_on_a_phone_without_moving_anything_sideways(driver: webdriver.Chrome, pages: Path) -> None:
    shown(driver, pages / "report.html", 400)
    cells = "[...document.querySelectorAll('table.rows tbody > tr > *')]"
    places = driver.execute_script(
        f"return {cells}.map(c => [c.getBoundingClientRect(), c.scrollWidth - c.clientWidth])"
    )
    assert len(places) == 7 * len(sample_report().layers)
    for box, beyond in places:
        assert box["left"] >= 0
        assert box["right"] <= 400
        assert beyond <= 0
    labels = driver.execute_script(f"return {cells}.map(c => getComputedStyle(c, '::before').content)")
    assert labels[1:7] == [f'"{name}"' for name in ("winner", "latency, µs", "default, µs", "change", "share", "why")]


def test_the_first_page_on_paper_is_full(driver: webdriver.Chrome, pages: Path) -> None:
    """What may not be broken and crosses the end of the page begins near it."""
    width, height = (round(96 * mm / 25.4) for mm in (210 - 2 * 12, 297 - 2 * 14))  # A4 less the margins
    shown(driver, pages / "report.html", width, height, media="print")
    unbroken = "'header.top > *, h2, tr, svg, .card, p'"
    blocks = driver.execute_script(
        f"return [...document.querySelectorAll({unbroken})].map(one => one.getBoundingClientRect())"
    )
    across = [block["top"] for block in blocks if block["top"] < height < block["bottom"]]
    assert max(block["bottom"] for block in blocks) > height
    assert all(top > 0.8 * height for top in across)
