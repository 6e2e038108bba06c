"""A real browser for page tests: Debian's Chromium without a screen, driven over its DevTools protocol.

with browser(tmp_path) as chromium:
    page = chromium.open("http://127.0.0.1:8080/")
    page.wait("document.title === 'Chat room'")
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S: Final = 30.0
# Between two looks at a page that changes on its own.
LOOK_S: Final = 0.02


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited; an exception in the page fails the test."""
        message = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        result = message.get("result", message)
        if "exceptionDetails" in result or "error" in result:
            pytest.fail(f"{expression} raised {result}")
        return result["result"].get("value")

    def _call(self, method: str, **arguments: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": arguments}))
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == number:
                return message

    def close(self) -> None:
        """Close the tab."""
        self._call("Page.close")

    def wait(self, expression: str) -> Any:
        """The value of the expression as soon as it is true."""
        until = time.monotonic() + PATIENCE_S
        while not (value := self.evaluate(expression)):
            if time.monotonic() > until:
                pytest.fail(f"{expression} stayed {value!r} on a page that says {self.text!r}")
            time.sleep(LOOK_S)
        return value

    @property
    def text(self) -> str:
        return str(self.evaluate("document.body.innerText"))

    def type(self, selector: str, value: str) -> None:
        """Put `value` into a field."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(value)}; true")

    def submit(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).requestSubmit(); true")


class Chromium:
    """A browser that runs."""

    def __init__(self, address: str, until_closed: ExitStack) -> None:
        self._address = address
        self._open = until_closed

    def open(self, url: str) -> Page:
        """A new tab that has begun to load `url`."""
        asked = urllib.request.Request(f"http://{self._address}/json/new?{url}", method="PUT")
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            target = json.load(answer)
        socket = connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE_S)
        page = Page(self._open.enter_context(socket))
        page.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page


@contextmanager
def browser(folder: Path) -> Iterator[Chromium]:
    """A Chromium with a profile of its own in `folder`; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("expected Chromium for the page tests, got none")
    profile = folder / "profile"
    options = [
        "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run",
        "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
    ]  # fmt: skip
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium's own condition for root
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            [program, *options, "about:blank"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        with ExitStack() as open_pages:
            yield Chromium(_address(process, profile, folder / "chromium.log"), open_pages)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], profile: Path, log: Path) -> str:
    """Where the browser can be driven: it writes its port to a file."""
    until = time.monotonic() + PATIENCE_S
    file = profile / "DevToolsActivePort"
    while time.monotonic() < until and process.poll() is None:
        if file.exists() and "\n" in (text := file.read_text()):
            return f"127.0.0.1:{text.splitlines()[0]}"
        time.sleep(LOOK_S)
    pytest.fail(f"Chromium did not start: {log.read_text(errors='replace')[-2000:]}")
