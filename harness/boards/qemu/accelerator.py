"""What executes a QEMU board's instructions: QEMU's own translator (tcg), or the host's CPU (kvm).

That /dev/kvm can be opened says little: in many a virtual machine and container it can, and no
guest ever runs. So `auto` believes in KVM once a guest of a few bytes has said something under it,
and a process asks once for each QEMU. Boots are only alike under the same accelerator: evidence and
recordings say which it was.
"""

import platform
import re
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from harness import process
from harness.errors import ConfigurationError, HarnessError, LabError

_SECONDS = 10.0  # for a guest that needs milliseconds
_SAYS = "K"
# x86, real mode, at the reset vector: out 0x3f8, 'K'; out 0xf4, 0 (isa-debug-exit); hlt.
_X86 = bytes.fromhex("ba f803 b0 4b ee 31c0 e6 f4 f4 eb fd")
# AArch64 at 0: store 'K' to the PL011 at 0x09000000; PSCI SYSTEM_OFF (0x84000008) by hvc; wfi.
_ARM = bytes.fromhex("0120a1d2 60098052 200000b9 000180d2 0080b0f2 020000d4 7f2003d5 ffffff17")
# Of a firmware of 64 KiB, the reset vector is the last 16 bytes.
_PC = ("pc", bytes((64 << 10) - 16) + _X86.ljust(16, b"\xf4"))
_GUESTS = {"i386": _PC, "x86_64": _PC, "aarch64": ("virt", _ARM)}
# Host's machine -> guests that its CPU can execute.
_OWN = {"x86_64": ("x86_64", "i386"), "i686": ("i386",), "aarch64": ("aarch64",)}


class Accelerator(StrEnum):
    """What a lab file may ask for (`accel`); a board has one of the last two."""

    AUTO = "auto"
    TCG = "tcg"
    KVM = "kvm"


def choose(asked: Accelerator, program: str, extra: Sequence[str] = ()) -> Accelerator:
    """What a board gets that `program` plays, with `extra` arguments of its lab file.

    LabError for a KVM that does not run here; ConfigurationError where both `accel` and
    `extra_args` say what to take.
    """
    if "-accel" in extra:
        named = [each.partition(",")[0] for each in extra[extra.index("-accel") + 1 :][:1]]
        if asked is not Accelerator.TCG or named != [Accelerator.TCG]:
            raise ConfigurationError(
                f"extra_args: -accel: accel is {asked} here",
                hint="say accel: kvm or auto in its place; extra_args may only refine tcg",
            )
        return Accelerator.TCG
    if asked is Accelerator.TCG:
        return Accelerator.TCG
    problem = unusable(program)
    if problem and asked is Accelerator.KVM:
        raise LabError(
            f"accel: kvm: {program}: {problem}",
            hint="accel: auto takes KVM only where it runs, accel: tcg never",
        )
    return Accelerator.TCG if problem else Accelerator.KVM


@cache
def unusable(program: str) -> str:
    """Why `program` cannot run guests under KVM on this host; empty when it can: one has run."""
    found = re.search(r"qemu-system-(\w+)$", program)
    guest, host = (found[1] if found else program), platform.machine()
    if guest not in _OWN.get(host, ()):
        return f"a {host} host cannot execute what a {guest} does"
    return tried(program, guest, Accelerator.KVM)


def tried(program: str, guest: str, accelerator: Accelerator) -> str:
    """Run the guest of a few bytes; why it said nothing, or nothing."""
    machine, firmware = _GUESTS[guest]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "firmware"
        file.write_bytes(firmware)
        argv = [program, "-nodefaults", "-display", "none", "-no-reboot", "-m", "64M"]
        argv += ["-machine", machine, "-accel", str(accelerator), "-bios", str(file)]
        argv += ["-cpu", "host"] if accelerator is Accelerator.KVM else []
        argv += ["-serial", "stdio"]
        if machine == "pc":
            argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        elif accelerator is Accelerator.TCG:
            argv += ["-cpu", "cortex-a53"]
        try:
            done = process.run(argv, timeout=_SECONDS, check=False)
        except HarnessError as error:
            return f"no guest runs: {error.brief}"
    if _SAYS in done.stdout:
        return ""
    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    return f"no guest runs: {last}"
