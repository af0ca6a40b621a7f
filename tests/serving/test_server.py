"""The server as users start it: a process, a signal, a page in a browser."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.browser import DESK, PHONE, Browser

from mixlingua.errors import ConfigError
from mixlingua.search.retriever import Retriever
from mixlingua.serving.server import run_server
from mixlingua.serving.settings import ServerSettings

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    """`python run.py action=serve` over the index, twice side by side; its address and its process."""
    place = tmp_path_factory.mktemp("server")
    (place / "lakes").symlink_to(index)
    copy = place / "brooks"
    subprocess.run(["cp", "-r", str(index), str(copy)], check=True)
    command = [sys.executable, str(REPOSITORY / "run.py"), "action=serve", f"index={index}", f"server.more=[{copy}]",
               "server.port=0", "hydra.run.dir=run"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    assert process.stdout is not None
    said = ""
    while not (found := re.search(r"Serving at (http://127\.0\.0\.1:\d+)", said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    yield found[1], process
    if process.poll() is None:
        process.kill()
    process.communicate()


class Page:
    """The page of a server in a browser."""

    def __init__(self, browser: Browser, address: str, width: int, path: str = "/", *, dark: bool = False) -> None:
        self.browser, self.address = browser, address

        class Address:
            def as_uri(self) -> str:
                return address + path

        browser.visit(Address(), width, dark=dark)  # type: ignore[arg-type]

    def value(self, expression: str):
        return self.browser.value(expression)

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        for _ in range(600):
            if self.value(expression):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; status {self.value('document.body.innerText')}")

    def ask(self, query: str) -> None:
        """Type and press Enter, as a user does."""
        self.value("document.querySelector('#query').focus(); document.querySelector('#query').value = ''")
        self.browser("Input.insertText", text=query)
        for kind in ("keyDown", "keyUp"):
            self.browser("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                         windowsVirtualKeyCode=13)  # fmt: skip
        self.until(
            "document.querySelector('#lists').ariaBusy === 'false' && document.querySelectorAll('.results li').length"
        )


def test_a_query_from_the_keyboard_shows_results_with_languages_and_their_mix(browser, server):
    page = Page(browser, server[0], DESK)
    page.until("document.activeElement.id === 'query'")  # with the first frame, which may be after the page is loaded
    page.ask("Wo liegt Kairo?")
    assert page.value("document.querySelectorAll('.results li').length") == 5
    badges = page.value("[...document.querySelectorAll('.badge')].map(each => each.textContent)")
    assert sorted(badges) == ["Arabic", "English", "English", "German", "German"]
    mix = page.value("[...document.querySelectorAll('.mix li')].map(each => each.textContent)")
    assert sorted(mix) == ["Arabic 1", "English 2", "German 2"]
    assert "5 results in" in page.value("document.querySelector('#status').textContent")
    assert page.value("location.search").startswith("?query=Wo+liegt")
    assert {url.split("?")[0] for url in browser.requests() if not url.startswith("data:")} == {
        server[0] + "/", server[0] + "/search"
    }  # fmt: skip
    complaints = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert [event["params"] for event in browser.events if event["method"] in complaints] == []


def test_texts_are_texts_and_arabic_runs_from_right_to_left(browser, server):
    page = Page(browser, server[0], DESK)
    page.ask("Bern")
    assert page.value("document.querySelectorAll('.results script, .results b').length") == 0
    assert "<script>alert(1)</script>" in page.value("document.querySelector('.results').textContent")
    assert page.value("getComputedStyle(document.querySelector('.results p[lang=ar]')).direction") == "rtl"
    assert page.value("getComputedStyle(document.querySelector('.results p[lang=de]')).direction") == "ltr"


def test_two_indexes_stand_side_by_side_on_a_desk_and_below_each_other_on_a_phone(browser, server):
    path = "/?query=Nil&compare=brooks%09fair"
    tops = "[...document.querySelectorAll('.list')].map(each => Math.round(each.getBoundingClientRect().top))"
    for width in (DESK, PHONE):
        page = Page(browser, server[0], width, path)
        page.until("document.querySelectorAll('.results').length === 2")
        first, second = page.value(tops)
        assert (first == second) == (width == DESK)
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
    assert "in the other list" in page.value("document.querySelector('.results li').textContent")
    assert page.value("document.querySelectorAll('h2')[1].textContent") == "brooks, fair to languages"


def test_an_error_is_told_and_can_be_tried_again(browser, server):
    page = Page(browser, server[0], PHONE)
    page.value("setup.k = 1000")
    page.value("document.querySelector('#query').value = 'a'; document.querySelector('#form').requestSubmit()")
    page.until("!document.querySelector('#error').hidden")
    assert "100 are given at most" in page.value("document.querySelector('#error').textContent")
    page.value("setup.k = 3; document.querySelector('#error button').click()")
    page.until("document.querySelectorAll('.results li').length === 3")
    assert page.value("document.querySelector('#error').hidden")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_follows_the_readers_scheme_and_every_field_has_a_name(browser, server, dark):
    page = Page(browser, server[0], PHONE, dark=dark)
    colour = page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)")
    assert (sum(colour) / 3 < 60) == dark
    assert page.value("[...document.querySelectorAll('input, select')].every(each => each.labels.length)")
    seen = "[...document.querySelectorAll('button, select')].filter(each => each.getClientRects().length)"
    assert page.value(f"{seen}.every(each => each.offsetHeight >= 36)")


def test_sigterm_ends_the_server_after_what_runs_is_answered(server):
    """Last: it ends the server of this module."""
    address, process = server
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps({"input": ["a long text of many words " * 20] * 200, "model": "tiny"}).encode()
    head = f"POST /embed HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(2**16).startswith(b"HTTP/1.1 100")  # the request has reached the application
        connection.sendall(body)
        process.send_signal(signal.SIGTERM)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        assert len(json.load(answer)["data"]) == 200
    assert process.wait(timeout=60) == 0


def test_a_port_that_is_taken_is_named(retriever):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"server\.port={port}: cannot listen there"):
            run_server({"rivers": retriever}, ServerSettings(port=port), lambda address: None)


def test_small_answers_are_sent_at_once(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm would keep an answer's body back until the client has confirmed its head."""
    options: list[int] = []

    def run(_: uvicorn.Server, sockets: list[socket.socket]) -> None:
        with socket.create_connection(sockets[0].getsockname()), sockets[0].accept()[0] as connection:
            options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    run_server({"rivers": retriever}, ServerSettings(port=0), lambda address: None)
    assert options == [1]
