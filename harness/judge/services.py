"""What systemd itself says of a device's units, behind the back of its health check.

A health check looks once; a service that dies afterwards, or crashes again and again, leaves it
saying `ok`. systemctl(1): `list-units` has the state of every loaded unit, `NRestarts` counts what
`Restart=` has done in this boot (systemd.service(5)).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from harness.boards.board import Board
from harness.errors import DeviceError

# A login's end restarts its getty: that is no crash.
_LOGIN = re.compile(r"(serial-|console-|container-)?getty@|autovt@")
_COMMAND = (
    "systemctl list-units --all --plain --no-legend --no-pager && echo && "
    "systemctl show --no-pager --property Id --property SubState --property NRestarts "
    "--property WantedBy --property RequiredBy '*.service'"
)
_WAITS = ("auto-restart", "auto-restart-queued")  # it has ended, and RestartSec= is not over


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Units that have failed; how often each service was restarted; of the services those that run,
    wait to be started again, and are wanted in each boot: what only somebody asks for (D-Bus, a
    timer, a socket) may end when it has done that."""

    failed: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()

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
        return cls(
            failed=tuple(row[0] for row in rows if len(row) > 3 and row[2] == "failed"),
            restarts={unit: int(each.get("NRestarts") or 0) for unit, each in found.items()},
            running=frozenset(u for u, each in found.items() if each.get("SubState") == "running"),
            waiting=frozenset(u for u, each in found.items() if each.get("SubState") in _WAITS),
            wanted=frozenset(
                u for u, each in found.items() if each.get("WantedBy") or each.get("RequiredBy")
            ),
        )

    def gone(self, later: Self) -> list[str]:
        """What ran then and does not run, or has been started anew, now; in words."""
        more = {
            unit: number - self.restarts.get(unit, 0) for unit, number in later.restarts.items()
        }
        ended = (self.running & self.wanted) - later.running - later.waiting
        return [
            *(f"{unit} does not run any more" for unit in sorted(ended)),
            *(
                f"{unit} was restarted {more[unit]} times"
                for unit in sorted(more)
                if more[unit] > 0
            ),
            *(f"{unit} has ended and waits to be restarted" for unit in sorted(later.waiting)),
        ]


def _properties(block: str) -> dict[str, str]:
    """Those of one unit, in whatever order they are shown."""
    return dict(line.partition("=")[::2] for line in block.splitlines())
