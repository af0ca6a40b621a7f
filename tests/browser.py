"""A real browser for tests of pages: Chromium, driven by its DevTools protocol over a pipe."""

import fcntl
import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

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
