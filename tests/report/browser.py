"""A browser under test: WebDriver over HTTP to a chromedriver on this machine."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--no-first-run",
)  # fmt: skip


class Browser:
    """A headless Chromium with a log of what it loads."""

    def __init__(self, *, width: int = 1200, dark: bool = False) -> None:
        assert DRIVER and CHROMIUM
        self._process = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            self._base = f"http://127.0.0.1:{self._port()}"
            options: dict[str, Any] = {"binary": CHROMIUM, "args": [*ARGUMENTS]}
            options["args"] += [f"--window-size={width},1000"]
            logs = {"browser": "ALL", "performance": "ALL"}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": logs}
            started = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
            self._base += f"/session/{started['sessionId']}"
        except BaseException:
            self._stop()
            raise
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("", method="DELETE")
        finally:
            self._stop()

    def open(self, page: Path) -> None:
        self._ask("/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """The value of a script's `return`."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str) -> Any:
        """The first value that is not null, of an expression."""
        for _ in range(200):
            found = self.run(f"return {script}")
            if found is not None:
                return found
            time.sleep(0.1)
        raise AssertionError(f"nothing came of {script}")

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self._ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def press(self, key: str) -> None:
        self.devtools("Input.dispatchKeyEvent", type="keyDown", key=key)
        self.devtools("Input.dispatchKeyEvent", type="keyUp", key=key)

    def point(self, x: float, y: float) -> None:
        self.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, height: int | None = None) -> None:
        """A screenshot of the whole page, or of its beginning."""
        size = self.run("return [document.documentElement.scrollWidth, document.body.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": height or size[1], "scale": 1}
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def console(self) -> list[str]:
        """What the browser complained of since it was last asked."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Everything that was asked for since then, data in the page itself left out."""
        entries = [json.loads(e["message"]) for e in self._ask("/se/log", {"type": "performance"})]
        sent = [
            e["message"] for e in entries if e["message"]["method"] == "Network.requestWillBeSent"
        ]
        urls = [message["params"]["request"]["url"] for message in sent]
        return [url for url in urls if not url.startswith("data:image/png;base64,")]

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        assert self._process.stdout
        self._process.stdout.close()

    def _port(self) -> int:
        assert self._process.stdout
        for line in self._process.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip(".\n").rsplit(" ", 1)[1])
        raise RuntimeError("chromedriver did not start")

    def _ask(self, path: str, data: Any = None, method: str | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
