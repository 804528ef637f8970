"""Network faults as data: what goes wrong with the download of an update, and at which byte.

`harness.updates.proxy.Proxy` performs them; this module only knows their printed forms.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class NetworkFaultKind(StrEnum):
    """What the proxy does to a response that carries the update artifact."""

    RESET = "reset"  # a TCP reset
    CLOSE = "close"  # an orderly end of the connection, before the end of the body
    STALL = "stall"  # the connection stays, nothing comes any more
    FLIP = "flip"  # all bits of one byte inverted, everything else as it was
    LINK_DOWN = "link-down"  # the board's cable is pulled, and plugged again later
    STATUS = "status"  # an HTTP status of the proxy's own, without asking the server
    DELAY = "delay"  # each request and each response comes later
    RATE = "rate"  # the body comes slowly


_KIND = NetworkFaultKind
_AT_A_BYTE = (_KIND.RESET, _KIND.CLOSE, _KIND.STALL, _KIND.FLIP, _KIND.LINK_DOWN)
# After these the transfer cannot go on where it was: it must be asked for again. (A link that is
# back in time may go on with the same connection.)
BREAKING = (_KIND.RESET, _KIND.CLOSE, _KIND.STALL)
_MOST_TIMES = 99  # more than any client tries
_MOST_MILLISECONDS = 600_000  # of a delay, or without a link: less than an update may take
_STATUSES = range(200, 600)
_SIZES = {"M": 1024 * 1024, "k": 1024, "": 1}
_TIMES = {"s": 1000, "ms": 1}
_UNITS = {_KIND.LINK_DOWN: _TIMES, _KIND.DELAY: _TIMES, _KIND.RATE: _SIZES, _KIND.STATUS: {"": 1}}
_FORM = re.compile(
    r"(?P<kind>[a-z-]+)(@(?P<at>\d+))?(:(?P<value>\d+)(?P<unit>[A-Za-z]*?))?(x(?P<times>\d+))?"
)


def require_order(faults: "Sequence[NetworkFault]") -> None:
    """ValueError unless each can come to strike, one after the other, a device that goes on with a
    download where it was."""
    last: NetworkFault | None = None
    for each in faults:
        if last and each.positioned and each.at < last.at:
            raise ValueError(f"{each} lies before {last}, behind which the download goes on")
        if each.kind in BREAKING:
            last = each


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFault:
    """One fault, with the printed forms below, which `parse` reads back.

    `reset@N`, `close@N`, `stall@N`, `flip@N`; `link-down@N:10s`; `status:503x3`; `delay:200ms`;
    `rate:64k` (64 * 1024 bytes a second, as curl's --limit-rate); all but the last two may end in
    `xTIMES`.

    N is a position in the *artifact*, counted from 0, wherever a (resumed) transfer began: the
    bytes before N are passed on, and the fault strikes between N - 1 and N; flip changes byte N.
    A resumed transfer that begins behind N is not struck.
    """

    kind: NetworkFaultKind
    at: int = 0  # byte position in the artifact
    value: int = 0  # link-down, delay: milliseconds; status: HTTP status code; rate: bytes a second
    times: int = 1  # how many transfers it strikes; delay and rate: all of them

    @property
    def positioned(self) -> bool:
        """Whether it strikes at a byte of the artifact."""
        return self.kind in _AT_A_BYTE

    @property
    def lasting(self) -> bool:
        """Whether it strikes every transfer until it is disarmed, beside the others."""
        return self.kind in (NetworkFaultKind.DELAY, NetworkFaultKind.RATE)

    def __str__(self) -> str:
        text = str(self.kind)
        if self.positioned:
            text += f"@{self.at}"
        if self.kind in _UNITS:
            units = _UNITS[self.kind].items()
            text += next(f":{self.value // n}{u}" for u, n in units if self.value % n == 0)
        return text if self.times == 1 else f"{text}x{self.times}"

    @classmethod
    def parse(cls, text: str, *, size: int = 0) -> "NetworkFault":
        """Read the printed form back; raises ValueError. Where the `size` of the artifact is given,
        N may be a percentage of it (`reset@50%`)."""
        if size:
            text = re.sub(r"(?<=@)(\d+)%", lambda found: str(size * int(found[1]) // 100), text)
        found = _FORM.fullmatch(text)
        if not found or found["kind"] not in list(NetworkFaultKind):
            raise ValueError(f"{text!r} is not a network fault such as reset@4194304")
        kind = NetworkFaultKind(found["kind"])
        units = _UNITS.get(kind)
        if (found["at"] is not None) != (kind in _AT_A_BYTE):
            raise ValueError(f"{text!r}: only faults at a byte have a position, and they need one")
        if (found["value"] is not None) != (units is not None):
            raise ValueError(f"{text!r}: {kind} {'needs a' if units else 'takes no'} value")
        if units and found["unit"] not in units:
            raise ValueError(
                f"{text!r}: the unit is one of {', '.join(u or 'none' for u in units)}"
            )
        at, times = int(found["at"] or 0), int(found["times"] or 1)
        if size and at >= size:
            raise ValueError(f"{text!r}: the artifact has {size} bytes, counted from 0")
        if times > _MOST_TIMES:
            raise ValueError(f"{text!r}: at most {_MOST_TIMES} times")
        fault = cls(
            kind=kind,
            at=at,
            value=int(found["value"]) * units[found["unit"]] if units else 0,
            times=times,
        )
        if fault.times < 1 or (fault.lasting and found["times"]) or (units and not fault.value):
            raise ValueError(f"{text!r} would never strike as it says")
        if kind is _KIND.STATUS and fault.value not in _STATUSES:
            raise ValueError(f"{text!r}: a status is a number of 200 to 599")
        if _UNITS.get(kind) is _TIMES and fault.value > _MOST_MILLISECONDS:
            raise ValueError(f"{text!r}: at most {_MOST_MILLISECONDS // 1000}s")
        return fault
