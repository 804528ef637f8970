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
    "systemctl show --no-pager --property Id --property NRestarts $("
    "systemctl list-units --type service --state running --plain --no-legend --no-pager | "
    "cut -d ' ' -f 1)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Units that have failed, and the services that run with how often each was restarted."""

    failed: tuple[str, ...] = ()
    running: Mapping[str, int] = field(default_factory=dict)

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
        shows = (_shown(each) for each in re.split(r"\n\n+", shown.strip()))
        restarts = {unit: int(number) for unit, number in shows if number.isdecimal()}
        return cls(
            failed=tuple(row[0] for row in rows if len(row) > 3 and row[2] == "failed"),
            running={unit: number for unit, number in restarts.items() if not _LOGIN.match(unit)},
        )

    def gone(self, later: Self) -> list[str]:
        """What ran then and does not run, or has been started anew, now; in words."""
        told = []
        for unit, number in self.running.items():
            if unit not in later.running:
                told.append(f"{unit} does not run any more")
            elif (more := later.running[unit] - number) > 0:
                told.append(f"{unit} was restarted {more} times")
        return told


def _shown(block: str) -> tuple[str, str]:
    """Id and NRestarts of one unit, in whatever order they are shown."""
    pairs = dict(line.partition("=")[::2] for line in block.splitlines())
    return pairs.get("Id", ""), pairs.get("NRestarts", "")
