"""A small recording made by hand: two releases, a disk of 9 MiB, and the log of an update on it."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.builders.debian.bootloaders.grub import environment_block
from harness.clients import grub_environment
from harness.clients.boot_selection import Slot
from harness.crash.exploration import prove, questions
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.sources import followed
from harness.crash.recording import digests, phases
from harness.crash.recording.recording import LOG, Recording, own_files
from harness.crash.states.cut import CrashState, parse
from harness.judge.identity import Identity
from harness.judge.verdict import Invariant, Verdict
from harness.medium.log import LogWriter, Origin, RecordKind, create_log
from harness.product.layout import MIB, Region
from harness.product.product import Product
from harness.product.release import Digest, Release
from tests.unit.builders import bundles
from tests.unit.builders.samples import built

SECTOR = 512
DATA_SIZE = 8 * MIB
LAYOUT = {
    "boot-selection": Region(0, 1024),
    "boot-selection-1": Region(0, 512),
    "boot-selection-2": Region(512, 512),
    "slot-A": Region(4096, 4096),
    "slot-B": Region(8192, 4096),
    "boot": Region(12288, 4096),
    "data": Region(MIB, DATA_SIZE),
}
SELECTION = (0, 2)  # the sectors that the boots made up here read
BROKEN = (Invariant(name="healthy", holds=False, detail="silence"),)
HOST_KEY = "ssh-ed25519 AAAA"
PROBE = b"noise" * 200  # what the probe makes of a slot
PROBE_SLOT = Digest(sha256=hashlib.sha256(PROBE).hexdigest(), size=len(PROBE))
OLD, NEW = b"old " * 512, b"new " * 512
MARKED_B = environment_block(states=("good", "bad"))
MARKED_A = environment_block(order="B A", states=("bad", "good"))
BEFORE, AFTER = environment_block(), environment_block(order="B A", states=("good", "trial"))


def release(folder: Path, version: str, content: bytes) -> Release:
    """A release with its files; both slots of its disk hold `content`."""
    folder.mkdir()
    image = folder / "disk.img"
    with image.open("wb") as disk:
        os.truncate(image, MIB + DATA_SIZE)
        for region in ("boot-selection-1", "boot-selection-2"):
            os.pwrite(disk.fileno(), BEFORE, LAYOUT[region].offset)
        for region in ("slot-A", "slot-B"):
            os.pwrite(disk.fileno(), content, LAYOUT[region].offset)
    _mkfs(image)
    (folder / "slot.img").write_bytes(content)
    (folder / "update.raucb").write_bytes(bundles.rauc(content))
    made = Release(
        folder=folder,
        machine="small",
        version=version,
        variants=(),
        product=Product(client="rauc", bootloader="grub", compatible="small"),
        built=built("images/small"),
        slot=_digest(folder / "slot.img"),
        artifact_name="update.raucb",
        layout=LAYOUT,
        files={name: _digest(folder / name) for name in ("disk.img", "slot.img", "update.raucb")},
    )
    made.write()
    return made


Extra = Callable[[Path], Sequence[tuple[int, bytes]]]  # disk image -> offset and content of writes


def selected(image: bytes) -> tuple[bytes, tuple[Slot, ...]]:
    """The copy of the boot selection that counts on a disk, and the slots in its order."""
    for block in (image[:512], image[512:1024]):
        if found := grub_environment.parse(block):
            return block, found.order
    raise AssertionError("both copies are torn")


def update_log(
    path: Path,
    base: Path,
    extra: Extra = lambda _: (),
    *,
    factory: bool = False,
    careful: bool = False,
    new: bytes = NEW,
) -> None:
    """One update and one rollback: the writes that a gateway makes, as few as show each phase.

    `extra` ones come first, in a boot of the old version. `factory`: the end of the first boot is
    marked, as it is in a real recording. The client selects a slot before it has written it; a
    `careful` one rejects it first.
    """
    first = MARKED_B if careful else AFTER
    create_log(path, Origin(model="disk", size=base.stat().st_size, base=str(base)))
    log = Log(path, new)
    log.mark("boot 1").data().flush()
    if factory:
        log.mark(phases.PROVISION).data().flush()
    log.mark(phases.START).mark("boot 2")
    for offset, content in extra(base):
        log.write(offset, content).flush()
    log.data().flush()
    log.mark(phases.INSTALL).select(first).slot("slot-B").flush()
    log.select(AFTER).data().flush().mark(phases.INSTALLED)
    log.mark(phases.REBOOT).data().flush()
    log.mark("boot 3").select(AFTER).data().flush().select(AFTER).mark(phases.HEALTHY)
    log.mark(phases.INSTALL)
    if careful:
        log.select(MARKED_A)
    log.slot("slot-A").flush().select(BEFORE).mark(phases.INSTALLED)
    log.mark(phases.REBOOT).mark("boot 4").select(BEFORE).data().flush().select(AFTER)
    log.mark("boot 5").select(AFTER).data().flush().mark(phases.END)
    log.writer.close()


class Log:
    """Appends to a log, word by word."""

    def __init__(self, path: Path, new: bytes = NEW) -> None:
        self.writer, self.new = LogWriter(path), new

    def mark(self, name: str) -> "Log":
        self.writer.append(RecordKind.MARK, payload=name.encode())
        return self

    def flush(self) -> "Log":
        self.writer.append(RecordKind.FLUSH)
        return self

    def write(self, offset: int, content: bytes) -> "Log":
        self.writer.append(RecordKind.WRITE, offset=offset, length=len(content), payload=content)
        return self

    def select(self, block: bytes) -> "Log":
        """Both copies of the boot selection, each made stable."""
        return self.write(0, block).flush().write(512, block).flush()

    def slot(self, name: str) -> "Log":
        """Half of the new version, then the rest."""
        offset, half = LAYOUT[name].offset, len(self.new) // 2
        return self.write(offset, self.new[:half]).write(offset + half, self.new[half:])

    def data(self) -> "Log":
        """The last sector of the data partition, which no file has."""
        return self.write(MIB + DATA_SIZE - SECTOR, b"d" * SECTOR)


def recording(
    folder: Path,
    extra: Extra = lambda _: (),
    *,
    factory: bool = False,
    careful: bool = False,
    old: Release | None = None,
    new: bytes = NEW,
) -> Recording:
    """The whole recording, saved in `folder`/run; `factory`: with cuts in the first boot. `old`: of
    another recording, `new`: the content of the version that it is updated to."""
    old = old or release(folder / "old", "1.0.0", OLD)
    to = release(folder / "new", "1.1.0", new)
    run = folder / "run"
    run.mkdir()
    update_log(run / "log.bin", old.disk_image, extra, factory=factory, careful=careful, new=new)
    (run / "probe.raucb").write_bytes(b"probe")
    span = phases.find(run / "log.bin", LAYOUT)
    made = Recording(
        folder=run,
        machine="small",
        board="small-1",
        model="disk",
        lab=folder / "lab.yaml",
        bench="{}",
        old=old,
        new=to,
        files=own_files(run),
        start=span.start,
        end=span.end,
        phases=span.phases,
        server_port=20001,
        clock=datetime(2026, 1, 1, tzinfo=UTC),
        seed=7,
        outcomes=(),
        probe_slot=PROBE_SLOT,
        identity=Identity(host_key=HOST_KEY),
    )
    made.save()
    return made


def _mkfs(image: Path) -> None:
    tree = image.parent / "tree"
    (tree / "config").mkdir(parents=True)
    (tree / "config/update-server").write_text("http://10.0.2.2:20001\n")
    subprocess.run(
        ["mkfs.ext4", "-q", "-d", tree, "-E", f"offset={MIB}", image, f"{DATA_SIZE // 1024}K"],
        check=True,
        capture_output=True,
    )


def _digest(path: Path) -> Digest:
    content = path.read_bytes()
    return Digest(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def proof(
    found: Recording,
    number: int,
    state: CrashState | str,
    verdict: Verdict,
    *,
    slot: str = "",
    sample: bool = False,
    came_back: bool = True,
    follows: str = "",
    wrote: Callable[[Log], object] = lambda _: None,
) -> Proof:
    """A boot that somebody has made, kept on disk as a worker keeps it; it read the selection."""
    booted = parse(str(state))
    if booted.nested and not follows:
        follows = followed(booted, prove.proofs(found)).log.sha256
    folder = found.folder / prove.PROOFS / f"{number:05}"
    folder.mkdir(parents=True, exist_ok=True)
    create_log(folder / LOG, Origin(model="disk", size=found.base.stat().st_size, base="-"))
    log = Log(folder / LOG)
    wrote(log)
    log.writer.close()
    made = Proof(
        recording=found.id,
        state=booted,
        verdict=verdict,
        final="" if verdict.failed else "new" if verdict is Verdict.RECOVERED else str(verdict),
        slot=slot or {Verdict.OLD: "A", Verdict.NEW: "B"}.get(verdict, ""),
        boots=1,
        broken=BROKEN if verdict.failed else (),
        reads=[SELECTION],
        reads_judged=[SELECTION],
        seconds=1.0,
        log=digests.of_file(folder / LOG),
        folder=folder,
        sample=sample,
        came_back=came_back and not verdict.failed,
        factory=found.in_factory(booted.first.at),
        asked=questions.digest(),
        follows=follows,
        ended=time.time(),
    )
    made.save()
    return made
