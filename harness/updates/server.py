"""The update server of a scenario: files by name over HTTP with Range, and `/health`.

aiohttp does the HTTP. The device normally reaches it through `harness.faults.network.Proxy`.
"""

import math
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from harness.errors import ConfigurationError
from harness.faults.manners import PORTALS, Manner, ServerFault
from harness.updates.answers import PAGE, FileAnswer, another, chunked, endless, etag, half, page
from harness.updates.loop import LOOPBACK, LoopServer, cannot_listen

_ELSEWHERE = "elsewhere/"
HEALTH, HEALTHY = "/health", "ok\n"  # what is asked, and what is said: a portal says something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request, at the moment when its answer began; the proxy knows how far it got."""

    time: float  # seconds since the epoch
    method: str
    path: str
    range: str  # the Range header as it came, empty without one
    status: int
    length: int  # body bytes that the response announced


class UpdateServer(LoopServer):
    """Serves files on a port of this host for the length of a `with` block. `listen` is the address
    that it listens on (of a lab: `Board.addresses`).

    `port` 0 is any free one. A port that is named may be shared (SO_REUSEPORT, socket(7)): several
    processes serve it at once, and each request is answered by any of them, so all must offer the
    same files. LabError when somebody has it alone. With `tls` it is HTTPS. `log` holds every
    request to this process in the order of the answers.
    """

    def __init__(
        self, port: int = 0, *, listen: str = LOOPBACK, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__("update-server")
        self.log: list[Served] = []
        self._ill = 0.0  # answers about its health that are still to be wrong
        self._fault: ServerFault | None = None
        self._since: Callable[[], bool] = lambda: True
        self.strange_answers = 0  # so many were not as usual, since it was told how to behave
        self._strange = 0  # answers with something else than the file that are still to come
        self._tls = tls
        self._halfway: Callable[[], None] | None = None
        self.port = port
        self._listen = listen
        self._files: dict[str, Path] = {}
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        return self._listen, self.port

    def add(self, name: str, path: Path) -> str:
        """Serve `path` as `name`, in place of what had that name; returns its URL."""
        if not path.is_file():
            raise ConfigurationError(
                f"cannot serve {path}: no such file", hint="build the release first"
            )
        self._files[name] = path
        return self.url(name)

    def be_ill(self, times: float = math.inf) -> None:
        """Answer so often, as a portal does, what is not HEALTHY when asked for its health; 0: no
        more."""
        self._ill = times

    @property
    def is_well(self) -> bool:
        """Whether it says so, when it is asked next."""
        return self._ill <= 0

    def behave(
        self, fault: ServerFault | None, *, since: Callable[[], bool] = lambda: True
    ) -> None:
        """Answer so from now on, or from when `since` says so; None: as usual."""
        self._fault, self._strange, self._since = fault, fault.answers if fault else 0, since
        self.strange_answers = 0

    def break_off(self, then: Callable[[], None]) -> None:
        """End the next download in its middle, after `then` was called."""
        self._halfway = then

    def url(self, name: str = "", *, host: str = LOOPBACK) -> str:
        """The URL of the file called `name` on the server itself, not through a proxy; `host` is
        `Board.addresses.host` for a board."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host}:{self.port}/{name}".rstrip("/")

    async def _start(self) -> None:
        application = web.Application()
        application.on_response_prepare.append(self._record)
        application.router.add_get("/{name:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self._listen, self.port, reuse_port=self.port != 0, ssl_context=self._tls
        )
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen("update server", self.address, error) from error
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _record(self, request: web.Request, response: web.StreamResponse) -> None:
        if self._manner is Manner.NO_ETAG:
            response.headers.popall("ETag", None)
        self.log.append(
            Served(
                time=time.time(),
                method=request.method,
                path=request.path,
                range=request.headers.get("Range", ""),
                status=response.status,
                length=response.content_length or 0,
            )
        )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == HEALTH:
            self._ill -= 1
            return web.Response(text=HEALTHY if self._ill < 0 else PAGE)
        name, manner = request.match_info["name"], self._manner
        self._count(request, name)
        if instead := self._instead(request, name):
            return instead
        path = self._files.get(name.removeprefix(_ELSEWHERE))
        if path is None:
            return web.Response(status=404, text="no such file\n")
        return await self._file(request, path, manner)

    async def _file(
        self, request: web.Request, path: Path, manner: Manner | None
    ) -> web.StreamResponse:
        if manner is Manner.CHUNKED:
            return await chunked(request, path)
        if cut := self._cut(request.method, path):
            return await half(request, *cut)
        if manner is Manner.NO_IF_RANGE:
            return await self._replaced(request, path)
        return FileAnswer(path, ranges=manner is not Manner.NO_RANGES)

    async def _replaced(self, request: web.Request, path: Path) -> web.StreamResponse:
        """Another file until somebody has all of it; then a range of this one for whoever asks,
        whatever he has."""
        content = another(path.read_bytes())
        if self._strange > 0 and (request.http_range.start or 0) < len(content):
            self._strange -= 1
            return await endless(request, content, '"before"')
        self._strange = 0
        return web.FileResponse(path)

    def _count(self, request: web.Request, name: str) -> None:
        """Whether this answer is going to be another one than usual."""
        met = {
            Manner.NO_RANGES: "Range" in request.headers,
            Manner.REDIRECT: not name.startswith(_ELSEWHERE),
            Manner.PORTAL: self._strange > 0,
            Manner.PORTAL_RANGES: self._strange > 0,
            Manner.CHANGED: self._strange > 0 and request.method == "GET",
            Manner.NO_IF_RANGE: self._strange > 0,
        }
        self.strange_answers += self._manner is not None and met.get(self._manner, True)

    def _instead(self, request: web.Request, name: str) -> web.Response | None:
        """The answer of a server that has no file to give in its manner."""
        if self._manner in PORTALS and self._strange > 0:
            self._strange -= 1
            return page(request, ranges=self._manner is Manner.PORTAL_RANGES)
        if self._manner is Manner.REDIRECT and not name.startswith(_ELSEWHERE):
            return web.Response(status=302, headers={"Location": f"/{_ELSEWHERE}{name}"})
        return None

    def _cut(self, method: str, path: Path) -> tuple[bytes, str] | None:
        """Content and ETag of the answer, when it has to end in its middle."""
        if method == "GET" and self._manner is Manner.CHANGED and self._strange > 0:
            self._strange -= 1
            return another(path.read_bytes()), '"before"'
        if method == "GET" and self._halfway:
            then, self._halfway = self._halfway, None
            then()
            return path.read_bytes(), etag(path)
        return None

    @property
    def _manner(self) -> Manner | None:
        return self._fault.manner if self._fault and self._since() else None
