"""Chromium without a window, driven by its DevTools protocol over two pipes: no library needed."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # containers refuse what the sandbox needs
    "--disable-gpu",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
WAIT = 60.0
"""Seconds until an answer, or what is waited for, must have come."""
# Chromium reads commands from descriptor 3 and writes answers to 4.
_START = (
    "import fcntl, os, sys; i, o = (fcntl.fcntl(int(x), fcntl.F_DUPFD, 10) for x in sys.argv[1:3]);"
    "os.dup2(i, 3); os.dup2(o, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def browser() -> str | None:
    """The browser that is installed here, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab.

    Attributes:
        faults: what its console said of errors, and what was thrown and not caught.
        requests: every address that it asked for.
        process: the browser's, whose children draw and compute.
    """

    def __init__(self, sink: int, source: int, process: int) -> None:
        self.process = process
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._sink, self._source, self._rest = sink, source, b""
        self._count, self._session = 0, ""
        found = self._ask("Target.createTarget", url="about:blank")
        attached = self._ask("Target.attachToTarget", targetId=found["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Let the window have this size, in CSS's pixels."""
        scale = 2 if phone else 1
        sizes = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self._ask("Emulation.setDeviceMetricsOverride", **sizes)
        self._ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Go there."""
        self._ask("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression; JSON-able.

        Raises:
            RuntimeError: it threw.
        """
        said = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in said:
            raise RuntimeError(f"{expression}: {said['exceptionDetails']}")
        return said["result"].get("value")

    def wait(self, expression: str, seconds: float = WAIT) -> Any:
        """Ask until the expression is true, and return it.

        Raises:
            TimeoutError: it never was.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.value(expression)
            if found:
                return found
            time.sleep(0.05)
        raise TimeoutError(f"{expression} did not come true; faults: {self.faults}")

    def key(self, name: str, seconds: float = 0.0) -> None:
        """Press a key, such as ``ArrowLeft``, for so long."""
        text = {"text": name} if len(name) == 1 else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        time.sleep(seconds)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=name)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """``mousePressed``, ``mouseMoved`` or ``mouseReleased`` of the left button."""
        place = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        self._ask("Input.dispatchMouseEvent", type=kind, **place)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """``touchStart``, ``touchMove`` or ``touchEnd`` of fingers at these points."""
        touched = [{"x": x, "y": y} for x, y in points]
        self._ask("Input.dispatchTouchEvent", type=kind, touchPoints=touched)

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        said = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(said["data"])

    def end(self) -> None:
        """Let the browser end."""
        with suppress(OSError, RuntimeError, TimeoutError):
            self._session = ""
            self._ask("Browser.close")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._sink, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._count:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                return dict(said["result"])
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = os.read(self._source, 1 << 20)
            if not found:
                raise RuntimeError("the browser has ended")
            self._rest += found
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, said: dict[str, Any]) -> None:
        method, what = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.faults.append(str(what["exceptionDetails"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.faults.append(what["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self.faults.append(str(what["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])


@contextmanager
def page(program: str) -> Iterator[Page]:
    """A tab of a browser with a profile of its own, which ends with the block."""
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [sys.executable, "-c", _START, str(commands), str(answers), program, *OPTIONS]
        process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(Path(profile))},
        )
        os.close(commands)
        os.close(answers)
        try:
            tab = Page(to_browser, from_browser, process.pid)
            yield tab
            tab.end()
        finally:
            os.close(to_browser)
            os.close(from_browser)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
