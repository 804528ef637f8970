"""The exporter host of the virtual bench, and the lab's coordinator: real labgrid, a real sshd.

The host's sshd has a key of its own and one that may log in. That labgrid's clients find both, a
file lies in /etc/ssh/ssh_config.d while the bench is there, which is about its address only.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from harness import files, process
from harness.deadline import Deadline
from harness.errors import LabError
from harness.simulate.commands import Commands
from harness.simulate.rack_file import Rack

EXPORTER = "virtual"  # labgrid's name of the exporter
_SSH_CONFIG = Path("/etc/ssh/ssh_config.d")
_SECONDS = 20.0
_GHOST = ("another-desk", "on-holiday")  # host and user
_MUX = """#!/bin/sh
# As https://github.com/linux-automation/usbsdmux: usbsdmux DEVICE host|dut|client|off|get
[ $# = 2 ] || { echo "usage: usbsdmux DEVICE MODE" >&2; exit 2; }
answer=$(printf '%s\\n' "$2" | socat -t 60 - "UNIX-CONNECT:$1") || exit 1
case $answer in
    ok*) [ "$2" != get ] || echo "${answer#ok }" ;;
    *) echo "usbsdmux: ${answer:-no answer}" >&2; exit 1 ;;
esac
"""


class ExporterHost:
    """Where the boards are plugged in: `muxes` are the commands of each board's SD mux."""

    def __init__(self, rack: Rack, folder: Path, muxes: Mapping[str, Callable[[str], str]]) -> None:
        self._rack = rack
        self._folder = folder
        self._muxes = muxes
        self._stack = ExitStack()
        self._taken: set[str] = set()
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._client = _SSH_CONFIG / f"harness-{rack.network}.conf"

    def open(self) -> None:
        """Start sshd, coordinator and exporter, and wait until each can be used."""
        for place, answer in self._muxes.items():
            commands = Commands(self.control(place), answer)
            self._stack.callback(commands.close)
            commands.open()
        self._sshd()
        self.start_coordinator()
        self.start_exporter()

    def close(self) -> None:
        """End all of it. Idempotent."""
        for name in list(self._servers):
            self._stop(name)
        self._stack.close()

    def control(self, place: str) -> Path:
        """The control device of a board's mux."""
        return self._folder / f"{place}.mux"

    def _start(self, name: str, argv: list[str | Path], ready: Callable[[str], bool]) -> None:
        log = self._folder / f"{name}.log"
        log.unlink(missing_ok=True)
        server = self._servers[name] = process.start(argv, log=log)
        deadline, pause = Deadline(_SECONDS), threading.Event()
        while not ready(log.read_text(errors="replace")):
            if server.poll() is not None or deadline.over:
                lines = log.read_text(errors="replace").splitlines()[-8:]
                raise LabError(
                    f"the virtual bench's {name} did not start", details="\n".join(lines)
                )
            pause.wait(0.05)

    def _sshd(self) -> None:
        folder = files.make_folder(self._folder / "ssh")
        for name in ("host", "client"):
            key = folder / name
            if not key.exists():
                made: list[str | Path] = [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    name,
                    "-f",
                    key,
                ]
                process.run(made, timeout=_SECONDS)
        _script(files.make_folder(self._folder / "bin") / "usbsdmux", _MUX)
        files.make_folder(Path("/run/sshd"))
        server = {
            "ListenAddress": f"{self._rack.exporter}:22",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "client.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "PidFile": "none",
            "MaxSessions": 100,
            "SetEnv": f"PATH={self._folder / 'bin'}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "Subsystem": "sftp internal-sftp",
        }
        config = folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in server.items()))
        known = folder / "known_hosts"
        known.write_text(f"{self._rack.exporter} {(folder / 'host.pub').read_text()}")
        self._stack.callback(self._client.unlink, missing_ok=True)
        client = (
            f"Host {self._rack.exporter}\n    User root\n    IdentityFile {folder / 'client'}\n"
            f"    IdentitiesOnly yes\n    UserKnownHostsFile {known}\n"
        )
        files.write_whole(self._client, client.encode())
        # Sessions leave sshd's process group; in a namespace of their own they end with it.
        words: list[str | Path] = ["unshare", "--pid", "--fork", "--kill-child", "--"]
        words += ["/usr/sbin/sshd", "-D", "-e", "-f", config]
        self._start("sshd", words, lambda said: "Server listening" in said)

    def _stop(self, name: str) -> None:
        if server := self._servers.pop(name, None):
            process.kill_group(server)

    def stop_coordinator(self) -> None:
        """It dies, and forgets who has which place."""
        self._stop("coordinator")
        self._taken.clear()

    def stop_exporter(self) -> None:
        """It dies."""
        self._stop("exporter")

    def start_coordinator(self) -> None:
        """No effect when it runs."""
        if "coordinator" in self._servers:
            return
        folder = files.make_folder(self._folder / "coordinator")
        places = {place: self._place(place) for place in self._rack.boards}
        (folder / "places.yaml").write_text(yaml.safe_dump(places))
        argv: list[str | Path] = ["env", f"--chdir={folder}", "PYTHONUNBUFFERED=1", sys.executable]
        argv += ["-m", "labgrid.remote.coordinator", "--listen", self._rack.coordinator]
        self._start("coordinator", argv, lambda said: "listening on" in said)

    def _place(self, place: str) -> dict[str, Any]:
        group = {"exporter": EXPORTER, "group": place, "cls": "*", "name": None, "rename": None}
        tags = {"machine": self._rack.boards[place].machine, "virtual": "yes"}
        return {"matches": [group], "tags": tags, "aliases": [], "comment": "a virtual board"}

    def take(self, place: str) -> None:
        """Somebody acquires a place, and never comes back."""
        self._labgrid("-p", place, "acquire")
        self._taken.add(place)

    def give_back(self, place: str) -> None:
        """What that one has is free again; no effect when he has nothing."""
        if place in self._taken:
            self._labgrid("-p", place, "release-from", "/".join(_GHOST))
            self._taken.discard(place)

    def _labgrid(self, *words: str) -> None:
        argv = [sys.executable, "-m", "labgrid.remote.client", "-x", self._rack.coordinator, *words]
        names = {"LG_HOSTNAME": _GHOST[0], "LG_USERNAME": _GHOST[1]}
        process.run(argv, timeout=_SECONDS, env=names, without=["LG_ENV"])

    def start_exporter(self) -> None:
        """No effect when it runs."""
        if "exporter" in self._servers:
            return
        groups = {place: self._resources(place) for place in self._rack.boards}
        file = self._folder / "exporter.yaml"
        file.write_text(yaml.safe_dump(groups, sort_keys=False))
        argv: list[str | Path] = ["env", "PYTHONUNBUFFERED=1", sys.executable]
        argv += ["-m", "labgrid.remote.exporter", "--coordinator", self._rack.coordinator]
        argv += ["--name", EXPORTER, "--hostname", self._rack.exporter, file]
        last = f"queued update for resource {list(groups)[-1]}/NetworkService"
        self._start("exporter", argv, lambda said: last in said)

    def _resources(self, place: str) -> dict[str, Any]:
        rack = self._rack
        return {
            "NetworkPowerPort": {
                "model": "rest",
                "host": f"http://{rack.pdu}/relay/{{index}}/value",
                "index": rack.number(place),
            },
            "NetworkSerialPort": {
                "host": rack.exporter,
                "port": rack.serial_port(place),
                "speed": rack.boards[place].speed,
                "protocol": "raw",
            },
            "NetworkUSBSDMuxDevice": {
                "host": rack.exporter,
                "busnum": 0,
                "devnum": 0,
                "path": rack.storage(place),
                "vendor_id": 0,
                "model_id": 0,
                "control_path": str(self.control(place)),
            },
            "NetworkService": {"address": rack.address(place), "username": "root"},
        }


def _script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)
