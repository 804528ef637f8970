"""A TCP proxy of ours between board and update server, which spoils a download at an exact byte.

The board is provisioned with the proxy's address, which stays the same for the proxy's life. What
the proxy saw (`requests`) and what it did (`strikes`) is data for the evidence.
"""

import asyncio
import itertools
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from harness.boards.capability import Link
from harness.errors import DeviceError, HarnessError
from harness.faults.network import NetworkFault, NetworkFaultKind
from harness.updates.loop import LOOPBACK, LoopServer, cannot_listen
from harness.updates.server import HEALTH
from harness.updates.transfer import Connection, Request
from harness.updates.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What a fault did, once."""

    time: float  # seconds since the epoch
    fault: str  # NetworkFault, printed
    byte: int  # position in the artifact; 0 for faults that have none
    connection: int  # number of the connection, from 1
    unacknowledged: int = 0  # bytes before `byte` that the board never took; normally 0


class Proxy(LoopServer):
    """Passes everything between the board and `upstream` for the length of a `with` block.

    `listen` is the address that it listens on; `link` is called in a thread of the proxy.

    Faults strike GET requests for anything but /health, one after the other: when one has struck
    as often as it says, the next one is there, and after the last everything passes again.
    """

    def __init__(
        self, upstream: tuple[str, int], *, listen: str = LOOPBACK, link: Link | None = None
    ) -> None:
        super().__init__("proxy")
        self.requests: list[Request] = []
        self.strikes: list[Strike] = []
        self.port = 0
        self._upstream = upstream
        self._listen = listen
        self._link = link
        self._numbers = itertools.count(1)
        self._fault: NetworkFault | None = None
        self._next: tuple[NetworkFault, ...] = ()
        self._lasting: tuple[NetworkFault, ...] = ()
        self._unmet: set[NetworkFault] = set()  # that have not struck since they were armed
        self._first = 0  # of the strikes since then
        self._done = 0  # of those that strike one after the other: have struck as often as they say
        self._left = 0  # times that the armed fault still strikes
        self._struck = threading.Event()
        self._plugged = threading.Event()
        self._plugged.set()
        self._failure: HarnessError | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self._link and not self._plugged.is_set():
                self._link(up=True)
        if self._failure and not error:
            raise self._failure

    def url(self, name: str = "", *, host: str = LOOPBACK) -> str:
        """The URL of a file through the proxy; `host` is `Board.addresses.host` for a board."""
        return f"http://{host}:{self.port}/{name}".rstrip("/")

    def arm(self, *faults: NetworkFault) -> None:
        """Let `faults` strike in that order, in place of what was armed; what has no end (`delay`,
        `rate`) all through, beside the others."""
        if any(each.kind == "link-down" for each in faults) and self._link is None:
            raise ValueError("a proxy without a link cannot pull it")
        self.disarm()
        self._struck.clear()
        self._unmet, self._done, self._first = set(faults), 0, len(self.strikes)
        self._lasting = tuple(each for each in faults if each.lasting)
        self._next = tuple(each for each in faults if not each.lasting)
        self._go_on()

    def disarm(self) -> None:
        """Pass everything from now on; a link that is down comes up when its time is over."""
        self._fault, self._left, self._next, self._lasting = None, 0, (), ()

    def downloads(self, first: int) -> list[Request]:
        """What was asked for, from that request on, but for heads and health."""
        found = self.requests[first:]
        return [each for each in found if each.method == "GET" and each.path != HEALTH]

    @property
    def met(self) -> list[str]:
        """Faults that have struck since they were armed."""
        return [each.fault for each in self.strikes[self._first :]]

    @property
    def done(self) -> int:
        """How many of the faults that strike one after the other have come to their end."""
        return self._done

    def _go_on(self) -> None:
        """The next one is there."""
        if self._next:
            self._fault, *later = self._next
            self._left, self._next = self._fault.times, tuple(later)

    @property
    def struck(self) -> bool:
        """Whether each fault that was armed last has struck; a scenario must check it."""
        return self._struck.is_set()

    def wait_strike(self, timeout: float) -> Strike:
        """Wait until the armed fault has struck; DeviceError when the download never got there."""
        if not self._struck.wait(timeout):
            raise DeviceError(
                f"the network fault {self._fault} has not struck within {timeout:g} s",
                details="\n".join(f"  {request}" for request in self.requests[-10:]),
                hint="is the fault's byte beyond the end, or was nothing downloaded?",
            )
        if self._failure:
            raise self._failure
        return self.strikes[-1]

    def wait_link_up(self, timeout: float) -> None:
        """Wait until a link-down is over; returns at once when the link is up."""
        if not self._plugged.wait(timeout):
            if self._failure:
                raise self._failure
            raise DeviceError(f"the link is still down after {timeout:g} s")

    # What a Connection asks; all of it runs in the proxy's thread.

    def fault_for(self, request: Request) -> NetworkFault | None:
        """The fault that a request has to meet."""
        if self._left < 1 or request.method != "GET" or request.path == HEALTH:
            return None
        return self._fault

    def lasting(self, kind: NetworkFaultKind, request: Request) -> NetworkFault | None:
        """The fault of that kind which goes on all through, unless the request is spared."""
        if request.method != "GET" or request.path == HEALTH:
            return None
        return next((each for each in self._lasting if each.kind is kind), None)

    def strike(self, fault: NetworkFault, request: Request, *, unacknowledged: int = 0) -> None:
        """Record that `fault` strikes now."""
        self._unmet.discard(fault)
        if not fault.lasting:
            self._left -= 1
            if self._left < 1:
                self._done += 1
                self._go_on()
        self.strikes.append(
            Strike(
                time=time.time(),
                fault=str(fault),
                byte=fault.at,
                connection=request.connection,
                unacknowledged=unacknowledged,
            )
        )
        if not self._unmet:
            self._struck.set()

    async def pull_link(self, milliseconds: int) -> None:
        """Pull the cable now, and plug it again after that time; returns when it is out."""
        if self._link is None:
            return
        self._plugged.clear()
        await asyncio.to_thread(self._link, up=False)
        task = asyncio.create_task(self._plug_link(milliseconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _plug_link(self, milliseconds: int) -> None:
        await asyncio.sleep(milliseconds / 1000)
        try:
            if self._link:
                await asyncio.to_thread(self._link, up=True)
            self._plugged.set()
        except HarnessError as error:
            self._failure = error

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A connection is over; a bug in it must not pass for a fault that never struck."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = HarnessError(f"the proxy broke: {error!r}")

    async def _start(self) -> None:
        try:
            self._server = await asyncio.start_server(self._serve, self._listen, 0)
        except OSError as error:
            raise cannot_listen("proxy", (self._listen, 0), error) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio itself only holds a connection's task weakly once the board's end is closed.
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        device = Wire(reader, writer)
        try:
            server = Wire(*await asyncio.open_connection(*self._upstream))
        except OSError:
            device.abort()
            return
        try:
            await Connection(self, next(self._numbers), device, server).run()
        except ConnectionError:
            pass  # one side is gone, or speaks no HTTP; what it got is in `requests`
        except HarnessError as error:
            self._failure = error
        except asyncio.CancelledError:
            device.abort()
            raise
        finally:
            server.abort()
            device.close()
