"""One connection through the proxy: request, response, request, ... and the fault within."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from harness.faults.network import NetworkFault, NetworkFaultKind
from harness.updates.wire import CHUNK, Head, Wire

_BODILESS = (204, 304)  # responses without a body whatever Content-Length says (RFC 9112, 6.3)


@dataclass(slots=True, kw_only=True)
class Request:
    """One request of the board and how far its answer got; `sent` grows while it is answered."""

    time: float  # seconds since the epoch
    connection: int  # number of the connection, from 1
    method: str
    path: str
    range: str  # the Range header as it came, empty without one
    status: int = 0  # 0 until an answer was passed on
    first: int = 0  # position in the artifact of the first body byte
    sent: int = 0  # body bytes passed on to the board


class ArmedFaults(Protocol):
    """What a connection asks the proxy."""

    def fault_for(self, request: Request) -> NetworkFault | None:
        """The armed fault, unless this request is spared or the fault is used up."""

    def lasting(self, kind: NetworkFaultKind, request: Request) -> NetworkFault | None:
        """The armed fault of that kind which strikes every transfer."""

    def strike(self, fault: NetworkFault, request: Request, *, unacknowledged: int = 0) -> None:
        """Record that it strikes now."""

    async def pull_link(self, milliseconds: int) -> None:
        """Pull the board's cable for a while."""

    requests: list[Request]


class _EndedByFaultError(ConnectionError):
    """The fault has ended the connection."""


class _Slowed:
    """A transfer held up to the bytes a second of `fault` (None: it is not). Over a link that is
    slower still nothing is: that is no strike."""

    def __init__(self, fault: NetworkFault | None) -> None:
        self._rate = fault.value if fault else 0
        self._fault = fault
        self._held = self._free = 0  # pieces, and those before which the other side had to wait

    @property
    def most(self) -> int:
        """Bytes of one piece."""
        return max(1, min(CHUNK, self._rate // 20)) if self._rate else CHUNK

    @property
    def counts(self) -> bool:
        """Whether it would have gone faster."""
        return 2 * self._free > self._held

    def take(self) -> NetworkFault | None:
        """The fault, once."""
        fault, self._fault = self._fault, None
        return fault

    async def hold_up(self, piece: bytes, device: Wire) -> None:
        """The time that a piece may take, and whether the other side had all before it by then."""
        if self._rate:
            await asyncio.sleep(len(piece) / self._rate)
            self._held += 1
            self._free += device.waits


class Connection:
    """Passes messages between `device` and `server` until one of them, or a fault, ends it."""

    def __init__(self, faults: ArmedFaults, number: int, device: Wire, server: Wire) -> None:
        self._faults = faults
        self._number = number
        self._device = device
        self._server = server

    async def run(self) -> None:
        """Pass requests and responses on; raises ConnectionError when one side breaks off."""
        while head := await self._device.head():
            request = Request(
                time=time.time(),
                connection=self._number,
                method=head.words[0],
                path=head.words[1],
                range=head.header("Range"),
            )
            self._faults.requests.append(request)
            if not await self._exchange(head, request):
                return

    async def _exchange(self, head: Head, request: Request) -> bool:
        """One request and its response; whether another may follow."""
        fault = self._faults.fault_for(request)
        if fault and fault.kind is NetworkFaultKind.STATUS:
            await self._refuse(fault, request)
            return False
        late = self._faults.lasting(NetworkFaultKind.DELAY, request)
        await self._delay(late, request)
        await self._server.send(head.raw)
        await self._copy_request_body(head.length or 0)
        answer = await self._server.head()
        if answer is None:
            return False
        await self._delay(late, None)
        await self._device.send(answer.raw)
        request.status, request.first = answer.status, answer.first
        if request.method == "HEAD" or answer.status in _BODILESS:
            return True
        await self._body(answer, request)
        return answer.length is not None

    async def _refuse(self, fault: NetworkFault, request: Request) -> None:
        """Answer with a status of our own."""
        self._faults.strike(fault, request)
        lines = f"HTTP/1.1 {fault.value} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        await self._device.send(lines.encode())
        request.status = fault.value

    async def _delay(self, fault: NetworkFault | None, request: Request | None) -> None:
        """Hold a message up; counted as a strike once a request."""
        if fault:
            if request:
                self._faults.strike(fault, request)
            await asyncio.sleep(fault.value / 1000)

    async def _copy_request_body(self, left: int) -> None:
        while left > 0:
            chunk = await self._device.read(min(CHUNK, left))
            if not chunk:
                raise ConnectionError("the board ended within a request")
            await self._server.send(chunk)
            left -= len(chunk)

    async def _body(self, answer: Head, request: Request) -> None:
        """Pass the body on, piece by piece, looking for the fault's byte in each."""
        carries_artifact = answer.status in (200, 206)
        fault = self._faults.lasting(NetworkFaultKind.RATE, request) if carries_artifact else None
        slowed = _Slowed(fault)
        try:
            await self._pieces(answer, request, slowed, carries_artifact=carries_artifact)
        finally:
            self._count(slowed, request)

    def _count(self, slowed: "_Slowed", request: Request) -> None:
        """Once a transfer: whether it was slowed down is known at its end."""
        if (fault := slowed.take()) and slowed.counts:
            self._faults.strike(fault, request)

    async def _pieces(
        self, answer: Head, request: Request, slowed: "_Slowed", *, carries_artifact: bool
    ) -> None:
        most = slowed.most
        while answer.length is None or request.sent < answer.length:
            left = most if answer.length is None else min(most, answer.length - request.sent)
            chunk = await self._server.read(left)
            if not chunk and answer.length is not None:
                raise ConnectionError("the server ended within a response")
            if not chunk:
                return
            while carries_artifact and (fault := self._due(request, len(chunk))):
                before = fault.at - request.first - request.sent
                await self._pass(chunk[:before], request)
                chunk = await self._perform(fault, request, chunk[before:])
                await self._pass(chunk[:1], request)  # it does not strike there again
                chunk = chunk[1:]
            await slowed.hold_up(chunk, self._device)
            if answer.length == request.sent + len(chunk):  # who has all of it may look at once
                self._count(slowed, request)
            await self._pass(chunk, request)

    def _due(self, request: Request, size: int) -> NetworkFault | None:
        """The fault, when its byte is one of the next `size` bytes."""
        fault = self._faults.fault_for(request)
        position = request.first + request.sent
        return fault if fault and fault.positioned and 0 <= fault.at - position < size else None

    async def _perform(self, fault: NetworkFault, request: Request, rest: bytes) -> bytes:
        """Strike before the first byte of `rest`; returns what to pass on in its place."""
        unacknowledged = await self._device.unacknowledged()
        self._faults.strike(fault, request, unacknowledged=unacknowledged)
        match fault.kind:
            case NetworkFaultKind.FLIP:
                return bytes([rest[0] ^ 0xFF]) + rest[1:]
            case NetworkFaultKind.LINK_DOWN:
                await self._faults.pull_link(fault.value)
                return rest
            case NetworkFaultKind.RESET:
                self._device.reset()
            case NetworkFaultKind.STALL:
                await self._device.read(1)  # returns when the board gives up
        raise _EndedByFaultError(str(fault))

    async def _pass(self, data: bytes, request: Request) -> None:
        """Send body bytes on and count them when the kernel has taken all."""
        if data:
            await self._device.send(data)
            request.sent += len(data)
