"""The page of a tuning run and of a comparison: self-contained, accessible, safe, and saying what was found."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ellopt.core.options import ConvolutionOptions
from ellopt.core.trial import Visit
from ellopt.report.compare.compare import compare
from ellopt.report.compare.html import render_comparison
from ellopt.report.document import TuningReport
from ellopt.report.html import STRIPS_PER_LAYER, render
from ellopt.report.network import blocks_of
from ellopt.search.result import BoardReport, CostReport
from ellopt.select.decisions import Confirmation, VariantReport
from tests.support.paths import DATA
from tests.support.reports import sample_report

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}</title></style>"
VOID = {"meta", "br", "hr", "img", "link", "input", "path", "circle", "rect", "line"}


class Page(HTMLParser):
    """Every tag with its attributes, and the text; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def hostile_report() -> TuningReport:
    report = sample_report()
    options = ConvolutionOptions("unrolled", gemm_blocking=HOSTILE)
    layer = replace(report.layers[0], node_id=HOSTILE, name=HOSTILE, shape=HOSTILE, why=HOSTILE, winner=options)
    layer = replace(layer, variants=(*layer.variants, VariantReport(options, HOSTILE, (1.0,), 1.0, reason=HOSTILE)))
    trial = replace(report.trials[0], reason=HOSTILE, visit=Visit("", HOSTILE, ""))
    return replace(
        report,
        model=HOSTILE,
        model_path=HOSTILE,
        target=HOSTILE,
        sampler=HOSTILE,
        created=HOSTILE,
        environment={HOSTILE: HOSTILE},
        layers=(layer, *report.layers[1:]),
        nodes=tuple(replace(n, label=HOSTILE, shape=HOSTILE) for n in report.nodes),
        trials=(trial, *report.trials[1:]),
        boards=BoardReport(boards={HOSTILE: 1}, set_aside={HOSTILE: HOSTILE, "x": HOSTILE}, failures=(HOSTILE,)),
        mlflow_run={HOSTILE: HOSTILE},
        files=(HOSTILE + "_options.ell",),
    )


PAGES: dict[str, Callable[[], str]] = {
    "report": lambda: render(sample_report()),
    "emulated": lambda: render(replace(sample_report(), emulated=True)),
    "without nodes": lambda: render(replace(sample_report(), nodes=())),
    "hostile": lambda: render(hostile_report()),
    "comparison": lambda: render_comparison(compare(sample_report(1), sample_report(2))),
    "other targets": lambda: render_comparison(compare(sample_report(), replace(sample_report(2), target="pi3"))),
    "hostile comparison": lambda: render_comparison(compare(hostile_report(), hostile_report())),
}


@pytest.fixture(scope="module", params=PAGES)
def html(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_nothing_is_fetched_and_nothing_is_run(html: str) -> None:
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("img")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes
    assert "url(#" in html or "url(" not in html
    assert "@import" not in html
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_links_lead_somewhere_and_ids_are_unique(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for target in (attributes.get("href", "")[1:], *attributes.get("aria-labelledby", "").split()):
            assert not target or target in ids


def test_tables_and_pictures_have_words(html: str) -> None:
    page = Page(html)
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 0
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert drawings
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)  # well formed, also where names are hostile
        links = any(node.tag.endswith("}a") for node in root.iter())
        assert root.get("role") == ("group" if links else "img")  # what is in a picture cannot be reached
        title, description = root[0], root[1]
        assert title.tag.endswith("title")
        assert title.text
        assert description.tag.endswith("desc")
        assert description.text
        width = float(root.get("viewBox", "").split()[2])
        for node in root.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert 0 <= float(node.get(name, "0")) <= width
            assert float(node.get("width", "0")) >= 0


def test_headings_descend_step_by_step(html: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(html).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_hostile_names_are_only_ever_text() -> None:
    for html in (render(hostile_report()), PAGES["hostile comparison"]()):
        assert "<script" not in html
        assert "alert(1)" in Page(html).text
        assert "{{7*7}}" in Page(html).text


def test_the_page_tells_what_was_found() -> None:
    report = sample_report()
    text = Page(render(report)).text
    cost = report.cost
    for layer in report.layers:
        assert layer.why[1:] in text
        for variant in layer.variants:
            assert str(variant.options) in text
            assert variant.reason in text
    for fact in (
        "1.78 ms now, the whole model",
        "4.69 ms before, with ELL's default",
        "2.64× as fast: 62 % less time, 95 % confidence −63 to −61 %",
        "Of 436 combinations in default.json",
        "2100 are valid over all layers and 53 give different code",
        f"{cost.trials_complete} complete, {cost.trials_pruned} pruned, {cost.trials_failed} failed",
        "pruning saved 44 s",
        "Too little left to gain.",
        "3 failures in a row: connection refused",
        "results file truncated",
        "ELL's own option for this layer is unrolled",
        "Example CPU @ 2.4 GHz",
        "ellopt compile cnn64_options.ell --target host -o deploy",
        "0123456789abcdef",
    ):
        assert fact in text


def test_essentials_are_not_behind_a_click() -> None:
    """What is folded away is only the full tables: everything else shows without a click, also on paper."""
    shown = Page(re.sub(r"<details>.*?</details>", "", render(sample_report()), flags=re.DOTALL)).text
    for layer in sample_report().layers:
        assert str(layer.winner) in shown
        assert layer.why[1:] in shown
    assert "Deploying" in shown


def test_emulated_times_are_marked() -> None:
    assert "Emulated." in Page(PAGES["emulated"]()).text
    assert "Emulated." not in Page(PAGES["report"]()).text


def test_what_is_not_significant_is_called_so() -> None:
    report = sample_report()
    against = report.confirmation.against_before
    assert against is not None
    weak = replace(report.confirmation, against_before=replace(against, significant=False, p_value=0.31))
    assert "not significant (p = 0.31)" in Page(render(replace(report, confirmation=weak))).text
    assert "Not sure." not in Page(render(report)).text


def test_contradicting_numbers_are_not_sold_as_a_gain() -> None:
    """A report of an earlier version, whose comparison was not of the latencies: the page says that nobody knows."""
    report = sample_report()
    against = report.confirmation.against_before
    assert against is not None
    odd = replace(report.confirmation, against_before=replace(against, gain=-0.33, gain_low=-0.5, gain_high=-0.01))
    text = Page(render(replace(report, confirmation=odd))).text
    assert "opposite directions" in text
    assert "95 % confidence" not in text.split("The network")[0], "an interval of another number is not shown beside it"


def test_a_report_with_nothing_in_it_still_renders() -> None:
    empty = replace(
        sample_report(),
        layers=(),
        trials=(),
        nodes=(),
        confirmation=Confirmation((), "", ""),
        cost=CostReport(),
        boards=BoardReport(),
        environment={},
        mlflow_run={},
        files=(),
    )
    assert "not confirmed" in Page(render(empty)).text


def test_many_variants_keep_the_page_small() -> None:
    report = sample_report()
    many = tuple(
        VariantReport(
            ConvolutionOptions.parse(f"winograd t4 f{n} c{m}"),
            "measured",
            tuple(1 + i / 1000 + n for i in range(40)),
            1.0 + n,
        )
        for n in range(1, 31)
        for m in range(1, 11)
    )
    layers = tuple(replace(layer, variants=(*layer.variants, *many)) for layer in report.layers * 4)
    html = render(replace(report, layers=layers, nodes=()))
    assert len(html) < 4_000_000
    assert html.count("<tr>") > 300 * len(layers)
    chart = html[html.index('id="variants-0-title"') :].split("</svg>")[0]
    assert STRIPS_PER_LAYER <= chart.count("samples m-") <= STRIPS_PER_LAYER + 2


def test_blocks_follow_the_network() -> None:
    blocks = blocks_of(sample_report())
    heads = [block.head.node_id for block in blocks]
    assert "1035" not in heads  # a bias belongs to its convolution
    assert "1045" not in heads  # a reorder that takes no time is seen through
    first = blocks[heads.index("1034")]
    assert first.followers == "bias, ReLU"
    total = blocks[heads.index("1050")]
    assert [heads[i] for i in total.inputs] == ["1047", "1038"]  # the residual passes two layers by
    assert sum(block.share for block in blocks) == pytest.approx(1.0, abs=1e-6)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_light_dark_and_print() -> None:
    """WCAG 2.1 AA: 4.5 for text, 3 for marks, in each of the three colour schemes."""
    schemes = re.findall(r":root \{(.*?)\}", PAGES["report"](), re.DOTALL)
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", scheme))
        full = {k: v if len(v) == 7 else "#" + "".join(c * 2 for c in v[1:]) for k, v in colours.items()}
        for paper in ("paper", "card", "tint"):
            for ink in ("ink", "soft", "link", "bad"):
                assert _contrast(full[ink], full[paper]) >= 4.5, (ink, paper)
            for mark in ("simple", "unrolled", "winograd", "other", "accent"):
                assert _contrast(full[mark], full[paper]) >= 3, (mark, paper)
        for ink, paper in (
            ("accent", "accent-tint"),
            ("warn", "warn-tint"),
            ("ink", "warn-tint"),
            ("soft", "accent-tint"),
        ):
            assert _contrast(full[ink], full[paper]) >= 4.5, (ink, paper)


def test_a_report_of_an_earlier_version_is_read_and_its_slower_model_is_called_that() -> None:
    """Its whole models have medians of the clock's steps, its paired test says 4.9 % slower."""
    case = DATA / "cases" / "confirmation_prefers_slower" / "tuning_report.json"
    report = TuningReport.load(case)
    text = Page(render(report)).text
    assert "What was written takes 4.9 % more time than ELL's default: tune the model again." in text
    assert "0.110 µs now" in text
    assert "95 % confidence" not in text.split("The network")[0]
