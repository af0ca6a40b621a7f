"""The HTML pages as files: complete, escaped, self-contained, and built so that a screen reader can follow."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixlingua.comparison.compare import ComparisonRow
from mixlingua.comparison.variations import Curve, Panel
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.run_folder import write_results
from mixlingua.report.comparison_page import write_comparison_page
from mixlingua.report.comparison_tables import Labels, comparison_tables
from mixlingua.report.figures import curve_picture
from mixlingua.report.plain_table import PlainTable, minus
from mixlingua.report.run_page import write_run_page

PANEL = Panel("monolingual", "map", [("hybrid", {0.25: [0.6], 0.5: [0.69, 0.71]})])
PICTURE = curve_picture(Curve("tiny_r", "sampler.alpha", [PANEL]), 0.95)
VOID = {"meta", "link", "br", "img", "path", "line", "circle", "rect"}


class Page(HTMLParser):
    """Every element with its attributes and its text; fails where tags are not nested."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.stack: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in VOID:
            self.stack.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.stack.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self.stack:
            self.texts[place] += data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and text, in which all blanks are one, of each element of a name."""
        found = zip(self.elements, self.texts, strict=True)
        return [(attributes, " ".join(text.split())) for (name, attributes), text in found if name == tag]

    def rows(self) -> list[list[str]]:
        """The cells of every table row."""
        found: list[list[str]] = []
        for (name, _), text in zip(self.elements, self.texts, strict=True):
            if name == "tr":
                found.append([])
            elif name in ("th", "td"):
                found[-1].append(" ".join(text.split()))
        return found


@pytest.fixture
def run_page(run_dir: Path) -> Page:
    return Page(write_run_page(run_dir, [("Started", "2026-11-21 05:47 UTC")]))


@pytest.fixture
def write_comparison(tmp_path: Path, rows: list[ComparisonRow]) -> Callable[..., Path]:
    """Writes the page of a comparison of mixed (one seed) with hybrid (three)."""

    def write(**changes: Any) -> Path:
        labels = Labels(["model", "sampling"], {"mixed": ["m", "mixed"], "hybrid": ["m", "hybrid (baseline)"]})
        run = SimpleNamespace(name="runs/0", provenance={"seed": 0, "commit": "abc", "num_parameters": 117_653_760})
        given: dict[str, Any] = {
            "rows": rows,
            "tables": comparison_tables(rows, labels, 0.95),
            "systems": {"mixed": [run], "hybrid": [run, run, run]},
            "curves": [],
            "provenance": {
                "baselines": {"mixed": "hybrid"}, "confidence": 0.95, "resamples": 500, "seed": 0,
                "tasks": {"tiny_r": {"revision": "r1", "licence": "CC0", "note": "", "languages": ["de", "en"]}},
            },
            "notes": ["One seed only <b>mixed</b>."],
        }  # fmt: skip
        return write_comparison_page(tmp_path, **{**given, **changes})

    return write


def test_figures_of_a_run(run_page: Page) -> None:
    rows = run_page.rows()
    assert ["monolingual mAP ↑", "0.250", "0.500", "+0.250", "0.250", "0.500", "+0.250"] in rows
    # (2 + 20 + 200 + 2000) / 4 before, 2.5 ranks less for one query of four after
    assert ["rank distance ↓", "556", "555", "−1", "556", "555", "−1"] in rows
    assert ["Arabic ar", ".500", ".500", ".500"] in rows
    assert ["Vietnamese vi°", "+.250", "+.250", "+.250"] in rows
    assert ["monolingual", "50.0 %", ""] in rows
    assert ["multilingual", "rank distance", "555", "555"] in rows


def test_spread_of_rank_distance(run_page: Page) -> None:
    assert ["Arabic ar", "after", "4", "14", "109", "650", "1,730", "555"] in run_page.rows()
    assert ["Arabic ar", "before", "5", "16", "110", "650", "1,730", "556"] in run_page.rows()


def test_worst_queries_have_their_language_and_direction(run_page: Page) -> None:
    (query,) = [attributes for attributes, text in run_page.all("p") if text == "ما هي عاصمة بيرو؟"]
    assert (query["lang"], query["dir"]) == ("ar", "auto")
    (passage,) = [attributes for attributes, text in run_page.all("dd") if text == "Peru"]
    assert (passage["lang"], passage["dir"]) == ("de", "auto")
    assert "Relevant, rank 7 of 9 German, score −0.250" in [text for _, text in run_page.all("dt")]


def test_provenance_of_a_run(run_page: Page) -> None:
    facts = dict(zip((t for _, t in run_page.all("dt")), (t for _, t in run_page.all("dd")), strict=True))
    assert facts["Seed"] == "3"
    assert facts["Parameters"] == "117,653,760"
    assert facts["Batches"] == "hybrid (alpha 0.5)"
    assert facts["Started"] == "2026-11-21 05:47 UTC"
    assert facts["Queries"] == "12"
    assert facts["atlas ar.json"] == "ab" * 32
    assert run_page.all("pre")[0][1].startswith("seed: 3")
    assert any("Pretrained weights: has seen SQuAD." in text for _, text in run_page.all("p"))


def test_groups_of_languages_and_the_languages_found(tmp_path: Path) -> None:
    values = {"map": np.array([0.75, 0.25]), "share_of_de_at_10": np.array([0.9, 0.4]),
              "share_of_sw_at_10": np.array([0.1, 0.6])}  # fmt: skip
    table = PerQueryTable(["q", "q"], ["de", "sw"], ["all", "all"], values)
    about = {"note": "", "main_metric": "map", "languages": ["de", "sw"], "revision": "1", "licence": "CC0",
             "num_queries": {"de": 1, "sw": 1}, "num_candidates": {"de": 9, "sw": 9}, "files": {}}  # fmt: skip
    write_results(tmp_path, [TaskResult("small", about, {"multilingual": table})], {"model": "m"})
    page = Page(write_run_page(tmp_path, []))
    assert ["high-resource (class 4-5)", "0.750"] in page.rows()
    assert ["low-resource (class 0-2)", "0.250"] in page.rows()
    assert ["German de", ".900", ".100"] in page.rows()
    assert ["Swahili sw", ".400", ".600"] in page.rows()
    assert [text for _, text in page.all("h2")] == ["Results", "Languages found", "Provenance"]


def test_a_run_without_training_log_or_before(run_dir: Path) -> None:
    for name in ("csv/metrics.csv", "metrics_before.json", "config.yaml"):
        (run_dir / name).unlink()
    (run_dir / "worst_queries.json").write_text("[]")
    page = Page(write_run_page(run_dir, []))
    headings = [text for _, text in page.all("h2")]
    assert headings == ["Results", "Language pairs", "Rank distance", "Provenance"]
    assert ["monolingual mAP ↑", "0.500", "0.500"] in page.rows()


def test_a_run_that_measured_nothing(run_dir: Path) -> None:
    (run_dir / "metrics_before.json").unlink()
    (run_dir / "metrics.json").write_text("{}")
    (run_dir / "report.json").write_text('{"provenance": {"model": "m", "average": "macro", "tasks": {}}, "rows": []}')
    (run_dir / "worst_queries.json").write_text("[]")
    headings = [text for _, text in Page(write_run_page(run_dir, [])).all("h2")]
    assert headings == ["Training", "Provenance"]


def test_tables_of_a_comparison_are_those_of_its_other_files(
    write_comparison: Callable[..., Path], rows: list[ComparisonRow]
) -> None:
    labels = Labels(["model", "sampling"], {"mixed": ["m", "mixed"], "hybrid": ["m", "hybrid (baseline)"]})
    shown = Page(write_comparison()).rows()
    for table in comparison_tables(rows, labels, 0.95):
        for row in table.rows:
            wanted = [minus(cell) if place >= table.labels else cell for place, cell in enumerate(row)]
            assert wanted in shown, table.name
    difference = ["−0.1000*", "−0.1100 to −0.0900", "-", "−0.40", "0.0050", "0.0100"]
    assert ["mixed - hybrid", "tiny_r", "Mo. mAP ↑", *difference] in shown


def test_pictures_of_a_comparison(write_comparison: Callable[..., Path]) -> None:
    page = Page(write_comparison())
    assert ["German de", "−.100*", "−.100*"] in page.rows()
    assert ["English en", "+.010", ""] in page.rows()
    assert "Curves" not in [text for _, text in page.all("h2")]
    assert ["hybrid", "runs/0", "0", "abc", "117,653,760"] in page.rows()

    page = Page(write_comparison(curves=[PICTURE]))
    assert "tiny_r over sampler.alpha" in [text for _, text in page.all("h3")]
    assert ["hybrid", "0.25", "0.600", "-"] in page.rows()
    assert ["hybrid", "0.5", "0.700", "0.573 to 0.827"] in page.rows()
    labels = [attributes["aria-label"] or "" for attributes, _ in page.all("svg")]
    assert sum("95% intervals over seeds, none where there is one seed." in label for label in labels) == 1


def test_a_comparison_without_a_baseline(write_comparison: Callable[..., Path], rows: list[ComparisonRow]) -> None:
    lone = [replace(row, difference=None) for row in rows if row.system == "hybrid"]
    tables = comparison_tables(lone, Labels(["model"], {"hybrid": ["m"]}), 0.95)
    provenance = {"baselines": {}, "confidence": 0.95, "resamples": 5, "seed": 0, "tasks": {}}
    page = Page(write_comparison(rows=lone, tables=tables, provenance=provenance, notes=[]))
    assert not any("Differences" in text for _, text in page.all("h2"))


@pytest.fixture(params=["run", "comparison"])
def page(request: pytest.FixtureRequest) -> Path:
    if request.param == "run":
        return write_run_page(request.getfixturevalue("run_dir"), [])
    path: Path = request.getfixturevalue("write_comparison")(curves=[PICTURE])
    return path


def test_nothing_outside_the_file_is_needed(page: Path) -> None:
    parsed = Page(page)
    assert not {"script", "img", "iframe", "object"} & {name for name, _ in parsed.elements}
    addresses = [value for _, attributes in parsed.elements for key, value in attributes.items()
                 if key in ("src", "href", "xlink:href", "action", "srcset")]  # fmt: skip
    assert [address for address in addresses if not (address or "").startswith("#")] == ["data:,"]
    assert "url(" not in page.read_text(encoding="utf-8")
    assert "@import" not in page.read_text(encoding="utf-8")


def test_headings_and_tables_can_be_followed(page: Path) -> None:
    parsed = Page(page)
    levels = [int(name[1]) for name, _ in parsed.elements if name in ("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {attributes.get("scope") for attributes, _ in parsed.all("th")} <= {"row", "col", "rowgroup", "colgroup"}
    assert all(text for _, text in parsed.all("th"))
    assert parsed.all("svg")
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes, _ in parsed.all("svg"))
    boxes = [attributes for attributes, _ in parsed.all("div") if attributes.get("class") == "scroll"]
    assert all(box.get("role") == "region" and box.get("tabindex") == "0" and box.get("aria-label") for box in boxes)
    assert len(boxes) >= len(parsed.all("table")) > 0
    ids = Counter(attributes["id"] for _, attributes in parsed.elements if "id" in attributes)
    assert all(count == 1 for count in ids.values())
    assert parsed.all("html")[0][0]["lang"] == "en"


def test_a_heading_that_is_empty_is_no_heading(write_comparison: Callable[..., Path]) -> None:
    table = PlainTable("t", "T", ["", "x"], [["a", "1"]], labels=1)
    page = Page(write_comparison(tables=[table]))
    assert ["", "x"] in page.rows()
    assert ("", "x") not in [(a.get("scope"), text) for a, text in page.all("th")]
