"""A recording: one real update and one rollback of a board, as everything that it wrote.

A folder that `harness crash record` makes and all other `harness crash` commands read:

    recording.json   what this module describes
    log.bin          the medium's write log since flashing; with the old version's disk image it is
                     every content that the medium has ever had (harness.boards.medium.replay)
    probe.*          a small signed update: what a board that came through a cut must still install
    console/         one console log for each recorded boot
    events.jsonl     the steps of recording

The releases stay where they are and are named by folder; the recording is of use only with them.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.boards.board import Board
from harness.crash.identity import Identity
from harness.crash.phases import FACTORY, Phase, Stretch
from harness.errors import ConfigurationError, HarnessError
from harness.images import release as releases
from harness.images.keys import Keys
from harness.images.layout import Region
from harness.images.release import Digest, Release
from harness.verdict import Invariant, Verdict

FILE = "recording.json"
LOG = "log.bin"
CONSOLE = "console"
EVENTS = "events.jsonl"
PROBE = "probe"  # and the suffix of the artifact's kind
SCHEMA = 1
_HINT = "record it again: harness crash record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the judge said in the recording itself: of the `update` and of the `rollback`."""

    name: str
    verdict: Verdict
    final: str  # "old" or "new"
    broken: tuple[Invariant, ...]  # empty, but for a version that was made bad on purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`start` and `end` are log positions: the power-on with the old version, provisioned, and its
    health after the rollback. Cut points are all positions from `start` to `end`, and those of the
    factory's first boot (`stretches`)."""

    folder: Path = field(compare=False)
    machine: str
    board: str
    model: str  # of the medium: disk or sd
    lab: Path
    old: Release
    new: Release
    bad: Release | None = None  # what was rolled back; none: the new version, without a network
    base: Path  # the image that was flashed: the old release's
    base_sha256: str
    start: int
    end: int
    phases: tuple[Phase, ...]
    server_port: int  # on this host's loopback: the update server that the board knows
    clock: datetime  # UTC; what a board's clock shows when one of the states is booted
    seed: int  # of the randomness that QEMU gives to such a board
    outcomes: tuple[Outcome, ...]
    probe_slot: Digest  # what the probe makes of the slot that it is installed in
    identity: Identity  # of the device, when it had been provisioned

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Where the cut points are. What the harness itself does to the device between its first
        boot and the start, provisioning, has none."""
        first = [range(each.start, each.end) for each in self.phases if each.name == FACTORY]
        rest = Stretch(range(self.start, self.end + 1))
        return (*(Stretch(each, factory=True) for each in first), rest)

    def require_cut(self, at: int) -> None:
        """ConfigurationError when a cut after `at` records is none that this recording is about."""
        if not any(at - 1 in stretch.records for stretch in self.stretches):
            spans = " and ".join(
                f"{s.records.start + 1} to {s.records[-1] + 1}" for s in self.stretches
            )
            raise ConfigurationError(
                f"{self.folder}: there is no cut point after {at} records",
                hint=f"there are from {spans}; `--console` boots any state",
            )

    def in_factory(self, at: int) -> bool:
        """Whether a cut after `at` records is one in the first boot: nothing was provisioned."""
        return self.phase(at - 1) == FACTORY

    @property
    def log(self) -> Path:
        """The write log."""
        return self.folder / LOG

    @property
    def console(self) -> Path:
        """Console logs of the recorded boots."""
        return self.folder / CONSOLE

    @property
    def probe(self) -> Path:
        """The small update."""
        return self.folder / f"{PROBE}{Path(self.old.artifact_name).suffix}"

    @property
    def layout(self) -> Mapping[str, Region]:
        """Byte offset and length of each region of the disk."""
        return self.old.layout

    def phase(self, position: int) -> str:
        """The phase that a log record belongs to, `` for one outside the recorded update."""
        return next((p.name for p in self.phases if p.start <= position < p.end), "")

    def save(self) -> None:
        """Write recording.json."""
        text = json.dumps(self.to_json(), indent=2, default=str) + "\n"
        (self.folder / FILE).write_text(text, encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """The content of recording.json."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "board": self.board,
            "model": self.model,
            "lab": str(self.lab),
            "old": _release_json(self.old),
            "new": _release_json(self.new),
            **({"bad": _release_json(self.bad)} if self.bad else {}),
            "base": str(self.base),
            "base_sha256": self.base_sha256,
            "start": self.start,
            "end": self.end,
            "phases": [asdict(phase) for phase in self.phases],
            "server_port": self.server_port,
            "clock": self.clock.isoformat(),
            "seed": self.seed,
            "probe_slot": asdict(self.probe_slot),
            "identity": asdict(self.identity),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "layout": {name: [r.offset, r.length] for name, r in self.layout.items()},
        }

    @classmethod
    def load(cls, folder: Path) -> "Recording":
        """Read a recording and the releases that it names.

        ConfigurationError when the folder is none, or a release is gone or another one by now.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(
                f"{path}: {error.strerror}",
                hint="a recording is a folder made by `harness crash record`",
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{path}: not JSON", details=str(error)) from error
        problems: list[str] = []
        found = _parse(folder, content, problems)
        if found is None or problems:
            raise ConfigurationError.of(str(path), problems, hint=_HINT)
        return found


def _parse(folder: Path, content: Any, problems: list[str]) -> Recording | None:
    keys = Keys(content, "", folder, problems)
    keys.text("schema", allowed=(str(SCHEMA),))
    keys.used("layout")  # for readers without the release; the release has it, too
    old, new = (_release(keys.section(which), problems) for which in ("old", "new"))
    bad = _release(keys.section("bad"), problems) if keys.peek("bad") else None
    fields: dict[str, Any] = {
        name: keys.text(name) for name in ("machine", "board", "model", "base_sha256")
    }
    fields |= {name: Path(keys.text(name)) for name in ("lab", "base")}
    fields |= {name: keys.number(name) for name in ("start", "end", "server_port", "seed")}
    clock, phases, outcomes = (keys.peek(name) for name in ("clock", "phases", "outcomes"))
    for name in ("clock", "phases", "outcomes"):
        keys.used(name)
    probe_slot, identity = keys.section("probe_slot"), keys.section("identity")
    fields["probe_slot"] = Digest(sha256=probe_slot.text("sha256"), size=probe_slot.number("size"))
    names = ("host_key", "device_id")
    fields["identity"] = Identity(**{name: identity.text(name, default="") for name in names})
    for section in (probe_slot, identity):
        section.finish()
    keys.finish()
    if old is None or new is None or problems:
        return None
    problems += _changed(folder, old, fields)
    try:
        return Recording(
            folder=folder,
            old=old,
            new=new,
            bad=bad,
            clock=datetime.fromisoformat(clock),
            phases=tuple(Phase(**phase) for phase in phases),
            outcomes=tuple(_outcome(**outcome) for outcome in outcomes),
            **fields,
        )
    except (TypeError, ValueError, KeyError) as error:
        problems.append(f"clock, phases or outcomes: {error}")
        return None


def _changed(folder: Path, old: Release, fields: Mapping[str, Any]) -> list[str]:
    """What is not as it was when it was recorded."""
    problems = []
    image = old.files["disk.img"]
    if image.sha256 != fields["base_sha256"]:
        problems.append(f"old: {old.folder} has another disk image than was flashed")
    base: Path = fields["base"]
    if not base.is_file() or base.stat().st_size != image.size:
        problems.append(f"base: {base} is missing or has another size")
    problems += [f"{name} is missing" for name in (LOG,) if not (folder / name).is_file()]
    return problems


def _release(keys: Keys, problems: list[str]) -> Release | None:
    folder, version = Path(keys.text("folder")), keys.text("version")
    slot = keys.text("slot_sha256")
    keys.finish()
    try:
        found = releases.load(folder)
    except HarnessError as error:
        problems.append(str(error))
        return None
    if (found.version, found.slot.sha256) != (version, slot):
        problems.append(f"{folder} is {found.version} with another slot than was recorded")
    return found


def _release_json(release: Release) -> dict[str, str]:
    return {
        "folder": str(release.folder),
        "version": release.version,
        "slot_sha256": release.slot.sha256,
    }


def _outcome(*, name: str, verdict: str, final: str, broken: list[dict[str, Any]]) -> Outcome:
    return Outcome(
        name=name,
        verdict=Verdict(verdict),
        final=final,
        broken=tuple(Invariant(**invariant) for invariant in broken),
    )


def keep_consoles(board: Board, folder: Path) -> None:
    """Copy what the board has said on its console into a folder, one file a boot."""
    folder.mkdir(exist_ok=True)
    for log in board.console_logs:
        shutil.copyfile(log, folder / log.name)
