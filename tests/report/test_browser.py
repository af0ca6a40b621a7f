"""The pages in a real browser."""

from pathlib import Path

import pytest
from tests.browser import DESK, PHONE, Browser

from mixlingua.comparison.compare import ComparisonRow
from mixlingua.comparison.variations import Curve, Panel
from mixlingua.report.comparison_page import write_comparison_page
from mixlingua.report.comparison_tables import Labels, comparison_tables
from mixlingua.report.figures import curve_picture
from mixlingua.report.run_page import write_run_page


@pytest.fixture(params=["run", "comparison"])
def page(request: pytest.FixtureRequest, tmp_path: Path, run_dir: Path, rows: list[ComparisonRow]) -> Path:
    if request.param == "run":
        return write_run_page(run_dir, [])
    systems = {"mixed": [], "hybrid": []}
    labels = Labels(["model", "sampling"], {"mixed": ["m", "mixed"], "hybrid": ["m", "hybrid (baseline)"]})
    provenance = {"baselines": {"mixed": "hybrid"}, "confidence": 0.95, "resamples": 5, "seed": 0, "tasks": {}}
    lines = [("hybrid", {0.25: [0.6], 0.5: [0.7, 0.72]})]
    panels = [Panel("monolingual", metric, lines) for metric in ("map", "recall_at_1")]
    picture = curve_picture(Curve("tiny_r", "sampler.alpha", panels), 0.95)
    tables = comparison_tables(rows, labels, 0.95)
    return write_comparison_page(tmp_path, rows, tables, systems, [picture], provenance, ["<b>note</b>"])


def test_a_page_asks_for_nothing_and_complains_of_nothing(browser: Browser, page: Path) -> None:
    for dark in (False, True):
        browser.visit(page, DESK, dark=dark)
        assert browser.requests() == [page.as_uri()]
        assert not {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"} & set(browser.methods())


def test_complaints_and_requests_are_seen(browser: Browser, tmp_path: Path) -> None:
    """What the test above relies on."""
    (tmp_path / "bad.html").write_text("<script>console.error('no')</script><img src='missing.png'>")
    browser.visit(tmp_path / "bad.html", DESK)
    assert "Runtime.consoleAPICalled" in browser.methods()
    assert (tmp_path / "missing.png").as_uri() in browser.requests()


def test_on_a_phone_tables_scroll_and_the_page_does_not(browser: Browser, page: Path) -> None:
    browser.visit(page, PHONE)
    browser.value("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.value("innerWidth") == PHONE
    assert browser.value("document.documentElement.scrollWidth") == PHONE
    boxes = "[...document.querySelectorAll('.scroll')]"
    assert browser.value(f"{boxes}.some(box => box.scrollWidth > box.clientWidth)")
    assert browser.value(f"{boxes}.every(box => box.getBoundingClientRect().right <= innerWidth)")
    assert browser.value(
        "[...document.querySelectorAll('svg text')].every(text => text.getBoundingClientRect().height > 8)"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_the_scheme_of_the_reader_is_followed(browser: Browser, page: Path, dark: bool) -> None:
    browser.visit(page, DESK, dark=dark)

    def lightness(name: str) -> float:
        parts = browser.value(f"getComputedStyle(document.body).{name}.match(/\\d+/g).map(Number)")
        return sum(parts[:3]) / 3

    assert (lightness("backgroundColor") < 60) == dark
    assert (lightness("color") > 200) == dark


def test_pictures_fill_the_desk_scroll_on_a_phone_and_follow_the_scheme(browser: Browser, page: Path) -> None:
    box = "document.querySelector('figure .scroll')"
    browser.visit(page, PHONE)
    assert browser.value(f"{box}.scrollWidth > {box}.clientWidth")
    browser.visit(page, DESK)
    assert browser.value(f"{box}.scrollWidth <= {box}.clientWidth")
    assert browser.value("document.querySelector('figure svg').getBoundingClientRect().width") > 400
    inks = []
    for dark in (False, True):
        browser.visit(page, DESK, dark=dark)
        inks.append(browser.value("getComputedStyle(document.querySelector('figure svg text')).fill"))
    assert inks[0] != inks[1]


def test_scripts_are_set_in_their_own_direction(browser: Browser, run_dir: Path) -> None:
    browser.visit(write_run_page(run_dir, []), PHONE)
    direction = "getComputedStyle(document.querySelector('{}')).direction"
    assert browser.value(direction.format(".query[lang=ar]")) == "rtl"
    assert browser.value(direction.format("dd[lang=de]")) == "ltr"


def test_markup_in_data_is_text(browser: Browser, run_dir: Path) -> None:
    browser.visit(write_run_page(run_dir, []), DESK)
    assert browser.value("document.querySelectorAll('script, img').length") == 0
    assert "<script>" in browser.value("document.querySelector('h1').textContent")
