"""Headless Chromium, spoken to over its DevTools protocol: a page as a person has it before them.

Chromium is started with everything off that would look for a network. The protocol is
https://chromedevtools.github.io/devtools-protocol/ (domains Page, Runtime, Input).
"""

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium")
SECONDS = 60.0
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--remote-debugging-port=0",
)


class Page:
    """One page; every error on it and everything it wanted to load is kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come meanwhile are noted."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    async def open(self, file: Path) -> None:
        """Load a file and wait until its scripts have run."""
        for domain in ("Page", "Runtime", "Network"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=file.resolve().as_uri())
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """`mouseMoved`, `mousePressed`, `mouseReleased` or `mouseWheel`, in CSS pixels."""
        await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def click(self, x: float, y: float) -> None:
        """A click with the left button."""
        await self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.mouse(kind, x, y, button="left", buttons=1, clickCount=1)

    async def drag(self, start: float, end: float, y: float) -> None:
        """A drag with the left button."""
        await self.mouse("mousePressed", start, y, button="left", buttons=1, clickCount=1)
        await self.mouse("mouseMoved", end, y, button="left", buttons=1)
        await self.mouse("mouseReleased", end, y, button="left", clickCount=1)

    async def screenshot(self, target: Path) -> None:
        """The whole page as PNG."""
        found = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(found["data"]))

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json(timeout=SECONDS)
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        return message


def with_page(folder: Path, size: tuple[int, int], use: Callable[[Page], Awaitable[None]]) -> None:
    """Start Chromium with a fresh profile in `folder`, let `use` have a page, end it for good."""
    assert PROGRAM, "needs the package chromium"
    window = f"--window-size={size[0]},{size[1]}"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, *_OPTIONS, window, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        asyncio.run(asyncio.wait_for(_use(folder / "profile", use), SECONDS))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _use(profile: Path, use: Callable[[Page], Awaitable[None]]) -> None:
    port = await _port(profile / "DevToolsActivePort")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(each for each in await answer.json() if each["type"] == "page")
        address = target["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=1 << 28) as socket:
            await use(Page(socket))


async def _port(file: Path) -> int:
    """Chromium writes its port into its profile when it listens."""
    while not (file.exists() and file.read_text().count("\n")):
        await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])
