"""The board of a bench, switched on: does it speak, hear, have a network and a clock; and how fast
does its power go? All of it over its serial line and its address, without a word of ours on it.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from harness.boards.doctor.bench import ExaminedBench
from harness.boards.doctor.finding import CouldNotLook, Look
from harness.boards.doctor.power import cut_seconds
from harness.boards.doctor.speech import require_all_or_nothing, require_echo, require_text
from harness.boards.hardware.relay import SLOW
from harness.boards.hardware.within import speaking
from harness.deadline import reached_within
from harness.errors import DeviceError, LabError

_SPEAK = 30.0  # seconds from power to the first bytes
_ENOUGH = 6  # of them, to tell text from noise
_LOGIN = 180.0  # seconds from there to a login prompt
_NETWORK = 60.0  # seconds from there to an answer at its address
_COMMAND = 20.0  # seconds for a command on the console
_FINEST = 0.05  # seconds: serial adapters deliver in portions
_DAY = 86400
_LOOK = 0.1


class OnBoard:
    """The looks at a board that is on; they rest on those of `ExaminedBench`."""

    def __init__(self, bench: ExaminedBench) -> None:
        self._bench = bench

    def looks(self) -> Sequence[Look]:
        """In their order."""
        return [
            Look(part="console", at=self._speak, on=["off", "serial port", "SD mux"]),
            Look(part="login prompt", at=self._prompt, on=["console"]),
            Look(part="typing", at=self._type, on=["login prompt"]),
            Look(part="network", at=self._network, on=["login prompt"]),
            Look(part="clock", at=self._clock, on=["typing"]),
            Look(part="power cut", at=self._cut, on=["console"]),
        ]

    def _speak(self) -> str:
        bench = self._bench
        bench.line.power_on()
        began = time.monotonic()
        bench.switch("on")
        if not reached_within(_SPEAK, lambda: len(bench.heard()) >= _ENOUGH, poll=_LOOK):
            require_text(bench.heard())
            require_all_or_nothing(bench.line, bench.heard)
            raise LabError(
                f"the board has said {len(bench.heard())} bytes in {_SPEAK:g} s",
                hint="in this order: is its card flashed (harness flash); does the relay switch "
                "this board; is the serial line its console, TX at RX; does another read it",
            )
        took = time.monotonic() - began
        threading.Event().wait(_LOOK)
        require_text(bench.heard())
        return f"it speaks {took:.1f} s after its power came"

    def _prompt(self) -> str:
        pattern = re.compile(self._bench.parts.shell.login_prompt.encode())
        began = time.monotonic()
        if not reached_within(
            _LOGIN, lambda: bool(pattern.search(self._bench.heard())), poll=_LOOK
        ):
            require_text(self._bench.heard())
            require_all_or_nothing(self._bench.line, self._bench.heard)
            raise LabError(
                f"no login prompt within {_LOGIN:g} s",
                details=self._bench.console.tail(),
                hint="ShellDriver.login_prompt of the lab file is not what it prints; or it does "
                "not boot: look at what it says above",
            )
        return f"after {time.monotonic() - began:.0f} s"

    def _type(self) -> str:
        return require_echo(self._bench.line, self._bench.heard)

    def _network(self) -> str:
        service = self._bench.parts.service
        where = f"{service.address}:{service.port}"
        if not reached_within(_NETWORK, lambda: _greets(service.address, service.port), poll=_LOOK):
            raise LabError(
                f"no SSH server answers at {where} within {_NETWORK:g} s of the login prompt",
                details=self._own_word("ip -br link; ip -4 -br address"),
                hint="no address there: no DHCP answer, or no cable; another address there: "
                "correct NetworkService; the right one: a firewall, or no sshd on the board",
            )
        return f"SSH answers at {where}"

    def _clock(self) -> str:
        said = self._own_word("date +%s")
        seconds = next((int(word) for word in said.split() if word.isdigit()), None)
        if seconds is None:
            raise CouldNotLook("nobody could log in on its console")
        off = seconds - time.time()
        if abs(off) > _DAY:
            raise LabError(
                f"its clock shows {time.strftime('%Y-%m-%d', time.gmtime(seconds))}",
                hint="its battery is empty, or it has none: options.lacks: [clock], when that is "
                "so in the field, too",
            )
        return f"{off:+.0f} s from this host's"

    def _cut(self) -> str:
        longest = self._bench.patience
        took = cut_seconds(self._bench.line, lambda: self._bench.switch("off"), longest=longest)
        if took > SLOW:
            raise LabError(
                f"the board speaks for {took:.1f} s after its relay was switched off",
                hint="the relay is late, or a large supply keeps the board alive behind it: switch "
                "the board's own voltage, not the supply's",
            )
        return (
            f"its last byte comes {max(took, _FINEST) * 1000:.0f} ms after the request, or sooner"
        )

    def _own_word(self, command: str) -> str:
        """What a command says on the board itself; empty when it lets nobody in."""
        shell: Any = self._bench.parts.shell
        with contextlib.suppress(DeviceError, LabError), speaking("console"):
            self._bench.console.rewind()
            self._bench.target.activate(shell)
            try:
                lines, _, _ = shell.run(command, timeout=_COMMAND)
                return "\n".join(lines)
            finally:
                self._bench.target.deactivate(shell)
        return ""


def _greets(address: str, port: int) -> bool:
    """Whether an SSH server says its first word there."""
    try:
        with socket.create_connection((address, port), timeout=3) as channel:
            return channel.recv(4) == b"SSH-"
    except OSError:
        return False
