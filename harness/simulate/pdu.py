"""The rack's PDU: relays behind HTTP, as labgrid's `NetworkPowerPort` speaks to `model: rest`.

GET /relay/INDEX/value   answers 1 or 0: how the relay stands
PUT /relay/INDEX/value   with 1 or 0 switches it; answered when the contact has moved

and, which no PDU has, what a virtual board must tell:

GET /share/PLACE         what a board got of this host, as JSON (`harness.boards.share.Fed`)
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import schema
from harness.boards.share import Fed
from harness.errors import HarnessError, LabError
from harness.simulate.rack_file import RelaySpec

_HTTP = 80


@dataclass(slots=True, kw_only=True)
class PlayedRelay:
    """One outlet: `switch` gives the board its power or takes it, and says when it is done."""

    switch: Callable[[bool], None]
    spec: RelaySpec
    closed: bool = False
    welded: bool = False  # the coil moves, the contact does not open
    late: float = 0.0  # seconds more, after the answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, closed: bool) -> None:
        """Move the contact."""
        with self.lock:
            jitter = random.uniform(-self.spec.jitter, self.spec.jitter)  # noqa: S311
            time.sleep(max(0.0, self.spec.latency + jitter))
            self.closed = closed
            if self.welded and not closed:
                return
            if self.late:
                timer = threading.Timer(self.late, self.switch, [closed])
                timer.daemon = True
                timer.start()
            else:
                self.switch(closed)


class Pdu:
    """HTTP at `address`, relays by their index, from `open` to `close`."""

    def __init__(self, address: str, relays: dict[str, PlayedRelay]) -> None:
        self.relays = relays
        self.boards: dict[str, Callable[[], Fed]] = {}  # by their places
        self.hung = threading.Event()  # it takes connections and answers none
        self._over = threading.Event()
        self._address = address
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Serve; LabError when somebody else has the address."""
        pdu = self

        class Answers(_Handler):
            of = pdu

        try:
            self._server = ThreadingHTTPServer((self._address, _HTTP), Answers)
        except OSError as error:
            raise LabError(f"no PDU at {self._address}: {error.strerror}") from error
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, name="pdu", daemon=True).start()

    def close(self) -> None:
        """End. Idempotent."""
        self._over.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hang(self) -> None:
        """Where it hangs, a request waits until all is over."""
        if self.hung.is_set():
            self._over.wait()


class _Handler(BaseHTTPRequestHandler):
    of: Pdu
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """How a relay stands, or what a board got."""
        self.of.hang()
        kind, _, place = self.path.strip("/").partition("/")
        if kind == "share" and place in self.of.boards:
            told = schema.to_bytes(schema.to_data(self.of.boards[place]()))
            self._answer(200, told.decode())
            return
        relay = self._relay()
        if relay:
            self._answer(200, "1" if relay.closed else "0")

    def do_PUT(self) -> None:
        """Switch a relay."""
        self.of.hang()
        relay = self._relay()
        length = int(self.headers.get("Content-Length") or 0)
        value = self.rfile.read(min(length, 16)).strip()
        if not relay:
            return
        if value not in (b"0", b"1"):
            self._answer(400, "0 or 1")
            return
        try:
            relay.set(value == b"1")
        except HarnessError as error:  # the board's, not the relay's: it has moved
            self.log_error("%s", error.brief)
        self._answer(200, value.decode())

    def _relay(self) -> PlayedRelay | None:
        words = self.path.strip("/").split("/")
        known = len(words) == 3 and (words[0], words[2]) == ("relay", "value")
        relay = self.of.relays.get(words[1]) if known else None
        if relay is None:
            self._answer(404, "no such relay")
        return relay

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """A PDU keeps no log."""
