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
_SIZES = {"M": 1024 * 1024, "k": 1024, "": 1}
_TIMES = {"s": 1000, "ms": 1}
_UNITS = {_KIND.LINK_DOWN: _TIMES, _KIND.DELAY: _TIMES, _KIND.RATE: _SIZES, _KIND.STATUS: {"": 1}}
_FORM = re.compile(
    r"(?P<kind>[a-z-]+)(@(?P<at>\d+))?(:(?P<value>\d+)(?P<unit>[A-Za-z]*?))?(x(?P<times>\d+))?"
)


def require_order(faults: "Sequence[NetworkFault]") -> None:
    """ValueError unless each of them can come to strike, one after the other."""
    if endless := [str(each) for each in faults[:-1] if each.lasting]:
        raise ValueError(f"{endless[0]} has no end: what comes after it would never strike")


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
        """Whether it strikes every transfer until it is disarmed."""
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
        fault = cls(
            kind=kind,
            at=int(found["at"] or 0),
            value=int(found["value"]) * units[found["unit"]] if units else 0,
            times=int(found["times"] or 1),
        )
        if fault.times < 1 or (fault.lasting and found["times"]) or (units and not fault.value):
            raise ValueError(f"{text!r} would never strike as it says")
        return fault
