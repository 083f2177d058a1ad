"""A headless Chromium, driven through chromedriver by the W3C WebDriver protocol, as far as the tests of pages go."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "no chromium with chromedriver here: apt-get install -y chromium chromium-driver"

_FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"),
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Down": "\ue015", "Right": "\ue014", "End": "\ue010"}


class Browser:
    """One window. Every method is one or two commands of the protocol; a failed command raises AssertionError."""

    def __init__(self, address: str, profile: Path) -> None:
        self._at = address
        options = {"binary": CHROMIUM, "args": [*_FLAGS, f"user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self._at += "/session/" + self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, path: Path) -> None:
        """Open a file."""
        self._ask("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *args: Any) -> Any:
        """What a script returns; a promise is waited for."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": args})

    def until(self, script: str, seconds: float = 20) -> Any:
        """What an expression is as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {script}")):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)
        return found

    def click(self, css: str) -> None:
        """Click the first element, as a person does: it has to be in sight and uncovered."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", css)
        self._ask("POST", f"/element/{self._find(css)}/click", {})

    def type(self, css: str, text: str) -> None:
        """Type into an element; names of `KEYS` in `{}` are keys."""
        for name, key in KEYS.items():
            text = text.replace(f"{{{name}}}", key)
        self._ask("POST", f"/element/{self._find(css)}/value", {"text": text})

    def press(self, text: str) -> None:
        """Type at whatever has the focus."""
        for name, key in KEYS.items():
            text = text.replace(f"{{{name}}}", key)
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def media(self, **features: str) -> None:
        """Pretend to a preference, such as `prefers-color-scheme`."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._devtools("Emulation.setEmulatedMedia", {"features": listed})

    def size(self, width: int, height: int) -> None:
        """Size of the page, in CSS pixels."""
        given = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", given)

    def meter(self) -> None:
        """Count the processor time of the next page's main thread."""
        self._devtools("Performance.disable", {})
        self._devtools("Performance.enable", {"timeDomain": "threadTicks"})

    def metered(self) -> float:
        """Its seconds of processor time so far."""
        metrics = self._devtools("Performance.getMetrics", {})["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "ThreadTime"))

    def shot(self, path: Path) -> None:
        """A picture of what is in sight."""
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """What the console has been told since the last call."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Every address that was asked for since the last call."""
        told = [
            json.loads(entry["message"])["message"] for entry in self._ask("POST", "/se/log", {"type": "performance"})
        ]
        return [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        """End the browser."""
        self._ask("DELETE", "")

    def _find(self, css: str) -> str:
        found: str = self._ask("POST", "/element", {"using": "css selector", "value": css})[_ELEMENT]
        return found

    def _devtools(self, command: str, params: dict[str, Any]) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.read().decode()[:2000]}") from None


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A fresh browser with its profile in a folder; driver and browser end with the block."""
    driver = subprocess.Popen([str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert driver.stdout
    try:
        port = next(line.split("port ")[1].strip(" .\n") for line in driver.stdout if "successfully on port" in line)
        window = Browser(f"http://127.0.0.1:{port}", folder)
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait(20)
        driver.stdout.close()
