"""A board whose shell is this host's, with fake device programs: runs the client's real commands.

A client has no business with anything else of a board.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

from harness.boards.board import CommandResult
from harness.errors import DeviceError
from harness.process import run
from tests.unit.boards.fake import FakeBoard

SYSTEMD_RUN = """\
#!/bin/sh
echo "systemd-run $*" >>"$DEVICE/calls"
while [ "${1#--}" != "$1" ]; do shift; done
[ "$1" = systemctl ] && exit 0
for word; do # as systemd: `$$` is one `$`, and a lone `$` must not be there (systemd.service(5))
    printf '%s' "$word" | sed 's/\\$\\$//g' | grep -q '\\$' && exit 1
    set -- "$@" "$(printf '%s' "$word" | sed 's/\\$\\$/$/g')"
    shift
done
setsid "$@" >/dev/null 2>&1 &
"""


class LocalBoard(FakeBoard):
    """Its root directory is `root`: every /run, /data, /etc and /proc of a command is there."""

    name = "fake-board"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[str] = []
        self.dead = False
        self.environment = {"PATH": f"{root}/bin:/usr/bin:/bin", "DEVICE": str(root)}
        for folder in ("bin", "run", "data", "etc"):
            (root / folder).mkdir()
        self.program("systemd-run", SYSTEMD_RUN)

    def program(self, name: str, script: str) -> None:
        """Install a fake program of the device."""
        path = self.root / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def moved(self, text: str) -> str:
        """`text` with the device's folders below `root`."""
        text = text.replace("/usr/lib/gateway/", f"{self.root}/bin/lib-")
        return re.sub(r"(?<![\w}])/(run|data|etc|proc)/", rf"{self.root}/\1/", text)

    def run(self, command: str, *, timeout: float) -> CommandResult:
        """Run it here."""
        self.commands.append(command)
        if self.dead:
            raise DeviceError("fake-board: connection lost")
        done = run(
            ["sh", "-c", self.moved(command)],
            timeout=timeout,
            error=DeviceError,
            env=self.environment,
            check=False,
        )
        return CommandResult(stdout=done.stdout, stderr=done.stderr, returncode=done.returncode)

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        """Write a file of the device."""
        Path(f"{self.root}{path}").write_bytes(content)

    def calls(self) -> str:
        """What the fake programs were called with."""
        path = self.root / "calls"
        return path.read_text() if path.exists() else ""

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a program does in the background."""
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)
