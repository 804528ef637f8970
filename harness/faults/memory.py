"""A device that runs out of memory, as data, and what makes it so.

Nothing of the product's is limited: memory is taken from all of it, by a service of ours in a tmpfs
that nobody else sees (systemd.exec(5), PrivateMounts=), and is free again when that service ends,
however it ends.
"""

import re
import shlex
from dataclasses import dataclass

_UNIT = "harness-memory"
SECONDS = 300  # after which all of it is free again, whoever is still there
_MOST = 256  # MiB; each takes a round, and all must be gone before the end of the install
STOP = f"systemctl stop {_UNIT}"

# Each round one MiB less is left, in the end none, until the kernel has killed somebody
# (/proc/vmstat, oom_kill). What is left is what the kernel says could be had without swapping.
_TAKE = """\
value() { while read -r key found rest; do [ "$key" != "$1" ] || return 0; done <"$2"; }
mount -t tmpfs -o size=0 memory /mnt || exit
value oom_kill /proc/vmstat
before=$found
while value oom_kill /proc/vmstat && [ "$found" = "$before" ]; do
    value MemAvailable: /proc/meminfo
    more=$((found - left))
    [ $left -gt 0 ] || more=$((found + 1024))
    [ $more -le 0 ] || head -c ${more}K /dev/zero >>/mnt/memory
    left=$((left > 1024 ? left - 1024 : 0))
    sleep 0.2
done
exec sleep infinity
"""
_PROPERTIES = ("OOMScoreAdjust=-1000", "PrivateMounts=yes", f"RuntimeMaxSec={SECONDS}")
_KILLED = re.compile(r"Out of memory: [^\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFault:
    """Prints as `memory:8M`: what is left of it at first, in MiB."""

    left: int

    def __str__(self) -> str:
        return f"memory:{self.left}M"

    @classmethod
    def parse(cls, text: str) -> "MemoryFault":
        """Read the printed form back; raises ValueError."""
        found = re.fullmatch(r"memory:([1-9][0-9]{0,3})M", text, re.ASCII)
        if not found or int(found[1]) > _MOST:
            told = f"such as memory:8M, at most {_MOST}M"
            raise ValueError(f"{text!r} is not what is left of the memory, {told}")
        return cls(left=int(found[1]))

    @property
    def program(self) -> str:
        """The shell program that takes it, until it is ended."""
        return f"left={self.left * 1024}\n{_TAKE}"

    @property
    def command(self) -> str:
        """What a device is told: begins to take it, and returns."""
        # The manager expands `$` in a unit's command line; `$$` is one `$` (systemd.service(5)).
        script = shlex.quote(self.program.replace("$", "$$"))
        properties = " ".join(f"--property={each}" for each in _PROPERTIES)
        return f"systemd-run --quiet --collect --unit={_UNIT} {properties} sh -c {script}"


def killed(console: str) -> list[str]:
    """What the kernel says on the console of whom it killed, or why it gave up."""
    return _KILLED.findall(console)
