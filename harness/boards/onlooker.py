"""Who only looks at a board that another process has: its console logs, and commands over SSH.

Found through `state.json` in the board's run folder. Nothing here changes a board, or waits for it.
"""

from dataclasses import dataclass
from pathlib import Path

from harness import files, schema
from harness.boards import bench, lab_file
from harness.boards.board import CommandResult
from harness.boards.console import existing_logs
from harness.boards.flashed import FLASHED, PIN
from harness.boards.qemu.device import run_folder
from harness.boards.ssh import SshLink
from harness.errors import DeviceError

_TAIL = 3000  # bytes of a log


@dataclass(kw_only=True)
class Onlooker:
    """One board, by its name in a lab file. Of `Board` it has what asks: `name` and `run`."""

    name: str
    lab: Path
    _ssh: SshLink | None = None

    def status(self) -> bench.BoardStatus:
        """What is known on this host."""
        return bench.status_of(self.name, lab=self.lab)

    def tail(self, lines: int) -> list[str]:
        """The last lines of its console."""
        logs = existing_logs(run_folder(self.name) / "console")
        if not logs:
            return []
        with logs[-1].open("rb") as log:
            log.seek(max(0, logs[-1].stat().st_size - _TAIL))
            text = log.read().decode(errors="replace")
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    def flashed(self) -> Path | None:
        """The release that it was flashed with, where that is still there."""
        file = run_folder(self.name) / FLASHED
        if not file.exists():
            return None
        image = Path(schema.from_json(dict[str, str], files.read(file), what=file)["image"])
        return image.parent if files.is_file(image.parent / "release.json") else None

    def run(self, command: str, *, timeout: float) -> CommandResult:
        """A command over SSH; DeviceError when it is off or does not answer."""
        if self._ssh is None:
            options = lab_file.load(self.lab).options[self.name.partition("@")[0]]
            self._ssh = SshLink(
                self._address,
                user=options.get("ssh_user", "root"),
                key=lab_file.ssh_key(options),
                pin=run_folder(self.name) / PIN,
            )
        return self._ssh.run(command, timeout=timeout)

    def close(self) -> None:
        """Hang up."""
        if self._ssh:
            self._ssh.close()

    def _address(self) -> tuple[str, int]:
        found = bench.address_of(self.name)
        if found is None:
            raise DeviceError(f"{self.name} is off: no SSH")
        return found
