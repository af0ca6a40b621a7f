"""The pages in a real browser: Chromium, driven by its DevTools protocol over a pipe, with nothing else installed."""

import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixlingua.comparison.compare import ComparisonRow
from mixlingua.comparison.variations import Curve, Panel
from mixlingua.report.comparison_page import write_comparison_page
from mixlingua.report.comparison_tables import Labels, comparison_tables
from mixlingua.report.figures import curve_picture
from mixlingua.report.run_page import write_run_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PHONE, DESK = 360, 1280  # CSS pixels
PATIENCE = 300  # seconds for one answer, on a machine with much else to do


class Browser:
    """One tab. Commands and answers are JSON texts that a null byte ends, on descriptors 3 and 4 of the process."""

    def __init__(self, program: str, profile: Path) -> None:
        command_end, self.commands = os.pipe()
        answers, answer_end = os.pipe()
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}")
        # Copies out of the way of 3 and 4, so that neither is overwritten by the other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (command_end, answer_end)]
        self.process = subprocess.Popen(
            [program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=lambda: [os.dup2(end, place) for place, end in enumerate(ends, start=3)],
        )  # fmt: skip
        for end in (command_end, answer_end, *ends):
            os.close(end)
        self.answers, self.unread = answers, b""
        self.number, self.session = 0, {}
        self.events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its result; events that come before are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **self.session}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def visit(self, page: Path, width: int, *, dark: bool = False) -> None:
        """Load a file in a window of this width, as a phone where that is narrow."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width == PHONE)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self.methods():
            self.events.append(self._next())
        self.value("1")  # what the page did while it was loaded has been reported once this is answered

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        result = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def methods(self) -> list[str]:
        return [event["method"] for event in self.events]

    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        found = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in found]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        os.close(self.commands)
        os.close(self.answers)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            assert select.select([self.answers], [], [], PATIENCE)[0], f"no answer from Chromium in {PATIENCE} s"
            part = os.read(self.answers, 2**16)
            assert part, "Chromium ended before it answered"
            self.unread += part
        text, _, self.unread = self.unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


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
