"""What systemd itself says of a device's units, behind the back of its health check.

A health check looks once; a service that dies afterwards, or crashes again and again, leaves it
saying `ok`. systemctl(1): `list-units` has the state of every loaded unit, `NRestarts` counts what
`Restart=` has done in this boot (systemd.service(5)).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from harness.boards.board import Board
from harness.errors import DeviceError

# A login's end restarts its getty: that is no crash.
_LOGIN = re.compile(r"(serial-|console-|container-)?getty@|autovt@")
_COMMAND = (
    "systemctl list-units --all --plain --no-legend --no-pager && echo && "
    "systemctl show --no-pager --property Id --property SubState --property NRestarts "
    "--property WantedBy --property RequiredBy --property WatchdogUSec --property Result "
    "--property Type --property ExecMainStartTimestampMonotonic "
    "'*.service'"
)
# Each distribution has them watched for three minutes; a product that wants that seen says so by
# its own dwell. They are restarted by the same systemd that would be asked.
_OF_SYSTEMD = "systemd-"
_MARGIN = 15  # seconds in which a service that its watchdog killed is seen to be gone
_SPAN = re.compile(r"([0-9.]+)(us|ms|s|min|h|d|w|month|y)\b")  # systemd.time(7), as it prints it
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_WAITS = ("auto-restart", "auto-restart-queued")  # it has ended, and RestartSec= is not over


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Units that have failed; how often each service was restarted; of the services those that run,
    wait to be started again, are wanted in each boot (what only somebody asks for, D-Bus, a timer,
    a socket, may end when it has done that), and ended well; those of the wanted that were started
    in this boot, are there to stay, and do not run; and the seconds of each watchdog."""

    failed: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    in_order: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    watchdogs: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def look(cls, board: Board, *, timeout: float) -> Self:
        """Ask systemd; DeviceError when it does not answer."""
        result = board.run(_COMMAND, timeout=timeout)
        if result.returncode != 0:
            raise DeviceError(
                f"{board.name}: systemd does not say what runs",
                details=f"{result.stdout}{result.stderr}"[-2000:],
            )
        return cls.parse(result.stdout)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Both answers, one empty line between them."""
        units, _, shown = text.partition("\n\n")
        rows = [line.lstrip("●* ").split(maxsplit=4) for line in units.splitlines()]
        shows = [_properties(each) for each in re.split(r"\n\n+", shown.strip())]
        found = {each.get("Id", ""): each for each in shows if not _LOGIN.match(each.get("Id", ""))}
        wanted = frozenset(
            u for u, each in found.items() if each.get("WantedBy") or each.get("RequiredBy")
        )
        return cls(
            failed=tuple(row[0] for row in rows if len(row) > 3 and row[2] == "failed"),
            restarts={unit: int(each.get("NRestarts") or 0) for unit, each in found.items()},
            running=frozenset(u for u, each in found.items() if each.get("SubState") == "running"),
            waiting=frozenset(u for u, each in found.items() if each.get("SubState") in _WAITS),
            wanted=wanted,
            in_order=frozenset(u for u, each in found.items() if each.get("Result") == "success"),
            ended=frozenset(u for u in wanted if _has_ended(found[u])),
            watchdogs={u: _seconds(each.get("WatchdogUSec", "")) for u, each in found.items()},
        )

    def outlive(self, dwell: float) -> list[str]:
        """Services that run and whose watchdog would not have killed them within a dwell."""
        return [
            f"{unit} has a watchdog of {seconds:g} s, and is watched for {dwell:g} s only: "
            f"promise a dwell of {seconds + _MARGIN:.0f}"
            for unit, seconds in sorted(self.watchdogs.items())
            if unit in self.running
            and not unit.startswith(_OF_SYSTEMD)
            and seconds > 0
            and dwell < seconds + _MARGIN
        ]

    def gone(self, later: Self, *, may_end: Collection[str] = ()) -> list[str]:
        """What ran then, or before anybody looked, and does not run, or has been started anew, now;
        in words. Of `may_end` only what did not end in good order."""
        fine = later.in_order & set(may_end)
        more = {
            unit: number - self.restarts.get(unit, 0)
            for unit, number in later.restarts.items()
            if unit not in fine
        }
        ended = (self.running & self.wanted) | later.ended
        ended = ended - later.running - later.waiting - fine
        return [
            *(f"{unit} does not run any more" for unit in sorted(ended)),
            *(
                f"{unit} was restarted {more[unit]} times"
                for unit in sorted(more)
                if more[unit] > 0
            ),
            *(
                f"{unit} has ended and waits to be restarted"
                for unit in sorted(later.waiting - fine)
            ),
        ]


def _has_ended(shown: Mapping[str, str]) -> bool:
    """Whether a service that is there to stay was started, and is over. A oneshot has done what it
    is for, and one whose conditions did not hold was never started."""
    started = shown.get("ExecMainStartTimestampMonotonic", "0") not in ("0", "")
    return started and shown.get("SubState") == "dead" and shown.get("Type") != "oneshot"


def _seconds(text: str) -> float:
    """A time span as systemd prints it; 0 for none, and for one without an end."""
    return sum(float(number) * _UNITS.get(unit, 3e6) for number, unit in _SPAN.findall(text))


def _properties(block: str) -> dict[str, str]:
    """Those of one unit, in whatever order they are shown."""
    return dict(line.partition("=")[::2] for line in block.splitlines())
