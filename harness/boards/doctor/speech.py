"""What comes over a serial line: text, and all of it."""

import secrets
import threading
from collections.abc import Callable
from typing import Protocol

from harness.boards.doctor.finding import CouldNotLook
from harness.deadline import Deadline
from harness.errors import LabError

_PRINTED = frozenset({*range(0x20, 0x7F), *b"\t\r\n\x1b\x08\x07\0"})
_NOISE = 0.2  # share of bytes that no console prints
_TYPED = 32  # characters
_ECHO = 20.0  # seconds for all of them to come back
_SILENCE = 2.0  # seconds without one: no more will come
_GAP = 0.01  # seconds between two of them: a bootloader has no buffer
_TRIES = 3
_KILL = b"\x15"  # the terminal's `kill`: forget the line


class Typing(Protocol):
    """A serial line."""

    def type(self, data: bytes) -> None:
        """Send."""


def require_text(heard: bytes) -> None:
    """LabError when that is noise: what a UART hears at another speed than its peer's."""
    odd = sum(byte not in _PRINTED for byte in heard)
    if odd > _NOISE * len(heard):
        raise LabError(
            f"{odd} of {len(heard)} bytes are no text",
            details=f"heard: {heard[:60]!r}",
            hint="the speed of the serial port is not the board's (`speed` of its resource)",
        )


def require_all_or_nothing(line: Typing, heard: Callable[[], bytes]) -> None:
    """LabError when a part of what is typed comes back: then a part of all is missing."""
    _, back = _typed(line, heard)
    if back and len(back) < _TYPED:
        raise _missing(len(back))


def require_echo(line: Typing, heard: Callable[[], bytes]) -> str:
    """Type at a prompt, in digits, which mean nothing there: they must come back whole. What the
    board says meanwhile has digits, too: then it is tried again."""
    for _ in range(_TRIES):
        typed, back = _typed(line, heard)
        if len(back) <= len(typed):
            break
    else:
        raise CouldNotLook("the board says so much itself that nobody can tell what came back")
    if len(back) != len(typed):
        raise _missing(len(back))
    if back != typed:
        raise LabError(
            "other characters came back than were typed",
            details=f"typed {typed.decode()}\nheard {back.decode()}",
            hint="the speed of the serial port is not quite the board's, or its ground is missing",
        )
    return f"{_TYPED} typed characters came back"


def _missing(count: int) -> LabError:
    return LabError(
        f"{count} of {_TYPED} typed characters came back",
        hint="a second program reads the port (`fuser /dev/ttyUSB0` on its host: a stray ser2net, "
        "a terminal)" + ("" if count else "; or the wire to the board's RX is loose"),
    )


def _typed(line: Typing, heard: Callable[[], bytes]) -> tuple[bytes, bytes]:
    """What was typed, and what of it came back."""
    before = len(heard())
    typed = "".join(secrets.choice("0123456789") for _ in range(_TYPED)).encode()
    pause, deadline = threading.Event(), Deadline(_ECHO)
    for digit in typed:
        line.type(bytes([digit]))
        pause.wait(_GAP)
    back, silence = b"", Deadline(_SILENCE)
    while back != typed and not deadline.over and not silence.over:
        pause.wait(0.05)
        back, earlier = _digits(heard()[before:]), back
        if back != earlier:
            silence = Deadline(_SILENCE)
    line.type(_KILL)
    return typed, back


def _digits(heard: bytes) -> bytes:
    return bytes(byte for byte in heard if byte in b"0123456789")
