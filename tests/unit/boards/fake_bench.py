"""A bench without hardware: a device that speaks over TCP, the relay in front of it, its SD mux.

The device prints what a test gives it at each power-on, and answers what is typed. The relay is
labgrid's model `rest`. Each can be made to fail as such things do.
"""

import contextlib
import http.server
import re
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BANNER = b"boot selection: slot A\r\n"


@dataclass
class FakeDevice:
    """`says` at power-on; while it is on it answers each key with its prompt. `late`: seconds that
    it goes on after its relay was switched; `welded`: for ever. `hangs`: no answer of the relay."""

    says: bytes = BANNER + b"hello\r\nlogin: "
    late: float = 0.0
    welded: bool = False
    hangs: bool = False
    lies: bool = False  # the relay says the opposite
    garbled: bool = False
    talks: bool = False  # without a break
    answers: bytes | None = None  # somebody is logged in, and each command prints this
    commands: list[str] = field(default_factory=list)
    fed: str = '{"boots": []}'  # what its host says that it gave it
    on: bool = False
    relay: bool = False
    connections: list[socket.socket] = field(default_factory=list)
    port: int = 0
    http_port: int = 0

    def switch(self, on: bool) -> None:
        if self.hangs:
            threading.Event().wait()
        before, self.relay = self.on, on
        if on:
            self.on = True
            if not before:
                self.say(self.says)
        elif not self.welded:
            threading.Timer(self.late, self._stop).start() if self.late else self._stop()

    def say(self, data: bytes) -> None:
        if self.garbled:
            data = bytes((byte * 7) & 0xFF | 0x80 for byte in data)
        for each in self.connections:
            each.sendall(data)

    def reset(self) -> None:
        self.say(self.says)

    def vanish(self) -> None:
        for each in self.connections:
            with contextlib.suppress(OSError):  # it has gone already
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _stop(self) -> None:
        self.on = False

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._listen, args=[connection], daemon=True).start()
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        try:
            line = b""
            while data := connection.recv(100):
                if self.on and self.answers is None:
                    self.say(b"\r\nlogin: ")
                elif self.on:
                    *lines, line = (line + data).split(b"\n")
                    for each in lines:
                        self.say(self._done(each.decode(), self.answers or b"") + b"\r\n# ")
        except OSError:
            return

    def _done(self, line: str, prints: bytes) -> bytes:
        """As labgrid's ShellDriver has a shell do it: between markers."""
        found = re.match(r"(?:echo |MARKER=)'(.*?)''(.*?)'( run (.*))?", line)
        if not found:
            return b""
        marker = (found[1] + found[2]).encode()
        if not found[3]:
            return marker
        self.commands.append(shlex.split(found[4])[0])
        return marker + prints + marker + b" 0"

    def _talk(self, connection: socket.socket) -> None:
        while connection in self.connections:
            time.sleep(0.005)
            if self.talks and self.on:
                try:
                    connection.sendall(b"x" * 20 + b"\r\n")
                except OSError:
                    return


@contextmanager
def served(device: FakeDevice) -> Iterator[FakeDevice]:
    """Serial port and relay of a device, for the length of a block."""

    class Relay(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            device.switch(self.rfile.read(int(self.headers["Content-Length"])) == b"1")
            self._answer(b"")

        def do_GET(self) -> None:
            if self.path == "/share":
                self._answer(device.fed.encode())
                return
            self._answer(b"1" if device.relay != device.lies else b"0")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    relay = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    relay.daemon_threads = True
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device.port, device.http_port = listener.getsockname()[1], relay.server_address[1]
        threading.Thread(target=device._serve, args=[listener], daemon=True).start()
        try:
            yield device
        finally:
            relay.shutdown()
            relay.server_close()
            device.vanish()
            device.connections.clear()


def lab(device: FakeDevice, options: str = "virtual: true") -> str:
    """A lab file with that device as `desk`."""
    return f"""
targets:
  desk:
    options:
      machine: fake
      boot_banner: 'boot selection: slot'
      card_serial: CARD-1
      relay_timeout: 2
      quiet: 0.2
      listen: 127.0.0.1
      host_address: 127.0.0.1
      {options}
    resources:
      NetworkPowerPort:
        model: rest
        host: 'http://127.0.0.1:{device.http_port}/relay/{{index}}/value'
        index: 1
      NetworkSerialPort: {{host: 127.0.0.1, port: {device.port}, protocol: raw}}
      NetworkService: {{address: 127.0.0.1, port: 9, username: root}}
    drivers:
      NetworkPowerDriver: {{}}
      SerialDriver: {{}}
      ShellDriver: {{prompt: '# ', login_prompt: 'login: ', username: root}}
"""


@dataclass
class FakeMux:
    """labgrid's driver of an SD mux; `stuck`: it says that it was switched, and was not."""

    mode: str = "dut"
    stuck: bool = False

    def set_mode(self, mode: str) -> None:
        if not self.stuck:
            self.mode = mode

    def get_mode(self) -> str:
        return self.mode


@dataclass
class LocalStorage:
    """A block device of this host, as labgrid's resources have one."""

    path: str

    def wrap_command(self, command: Sequence[str]) -> list[str]:
        return list(command)
