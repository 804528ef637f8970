"""The device of one recording, recorded once more with another new version."""

import json
import random
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.recorder import Recorder
from harness.crash.exploration import carried
from harness.crash.exploration.again import Again
from harness.crash.record import Session
from harness.crash.recording import phases
from harness.crash.recording.recording import Recording
from harness.errors import ConfigurationError
from harness.medium import replay
from harness.medium.log import LogError, LogReader, RecordKind, join
from harness.medium.model import Loss, LossKind, Model
from harness.product.release import Release
from harness.updates.server import UpdateServer
from tests.unit.crash.explored import explore
from tests.unit.crash.logs import base_image, medium, records, scribble
from tests.unit.crash.recordings import NEW, OLD, PROBE, PROBE_SLOT, release
from tests.unit.crash.test_record import LAB, Device

NEXT = NEW[:-512] + b"next" * 128


def recorded(folder: Path, old: Release, new: Release, again: Again | None = None) -> Recording:
    """What `harness crash record` makes, of a device made of bytes."""
    board = Device(folder / "board", new=new.slot_image.read_bytes())
    run = folder / "run"
    for each in (board.folder, run):
        each.mkdir(parents=True)

    def make_probe(_: Release, target: Path, __: Release | None) -> object:
        (target / "probe.raucb").write_bytes(PROBE)
        return PROBE_SLOT

    with UpdateServer(again.port if again else 0) as server:
        lab = folder / "lab.yaml"
        lab.write_text(LAB)
        session = Session(board=board, lab=lab, server=server, again=again)
        if not again:
            session.make_probe = make_probe  # type: ignore[assignment]
        session.record(old, new, run)
    found = Recording.load(run)
    found.verify()
    return found


def told(log: Path, first: int, end: int) -> list[tuple[RecordKind, int, bytes]]:
    with LogReader(log) as reader:
        return [(r.kind, r.offset, reader.payload(r)) for r in reader.records()][first:end]


@pytest.fixture
def first(tmp_path: Path) -> Recording:
    old, new = release(tmp_path / "old", "1.0.0", OLD), release(tmp_path / "new", "1.1.0", NEW)
    return recorded(tmp_path / "first", old, new)


def test_it_is_the_same_device_and_proofs_can_carry_over(first: Recording, tmp_path: Path) -> None:
    newer = release(tmp_path / "newer", "1.1.0", NEXT)
    run = recorded(tmp_path / "second", first.old, newer, Again(first, first.old, "small-1@2"))
    assert run.new == newer and run.start == first.start
    assert told(run.log, 0, run.start) == told(first.log, 0, first.start)
    assert [p.name for p in run.phases] == [p.name for p in first.phases]
    assert phases.find(run.log, run.layout).phases == run.phases
    assert (run.identity, run.server_port) == (first.identity, first.server_port)
    assert run.probe_slot == first.probe_slot and run.probe.read_bytes() == PROBE
    assert run.clock > first.clock
    times = [record.monotonic_ns for record in records(run.log)]
    assert times == sorted(times)
    explore(first.folder)
    carried.take(run, [first.folder])


def test_a_device_that_is_another_one_by_then_is_not_recorded(
    first: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Again(first, first.old, "small-1")
    monkeypatch.setattr(Device, "host_key", lambda *_, **__: "ssh-ed25519 BBBB")
    run = tmp_path / "second"
    found = recorded(run, first.old, release(tmp_path / "newer", "1.1.0", NEXT), again)
    assert {each.name for one in found.outcomes for each in one.broken} == {"identity"}
    assert found.identity == first.identity


def test_what_is_not_its_beginning_is_refused(first: Recording, tmp_path: Path) -> None:
    other = release(tmp_path / "other", "1.0.0", OLD)  # another file system
    with pytest.raises(ConfigurationError, match="is not the release that"):
        Again(first, other, "small-1")
    with pytest.raises(ConfigurationError, match="was recorded on small-1, not on large-1"):
        Again(first, first.old, "large-1")
    first.log.write_bytes(first.log.read_bytes()[:-1] + b"?")
    with pytest.raises(ConfigurationError, match=r"log\.bin has another content"):
        Again(first, first.old, "small-1")


@pytest.mark.parametrize("seed", range(6))
def test_two_logs_are_one(tmp_path: Path, seed: int) -> None:
    """Also with power cuts in both: what they took is named by position."""
    chance = random.Random(seed)
    base, between = base_image(tmp_path), tmp_path / "between.img"
    before = medium(tmp_path / "before", base, Model.DISK)
    cut(before, chance, seed)
    first, second = tmp_path / "before/log.bin", tmp_path / "after/log.bin"
    count = len(records(first))
    replay.replay(base, first, count, between)
    after = medium(tmp_path / "after", between, Model.DISK)
    cut(after, chance, seed)
    scribble(after, chance, 5)
    joined = tmp_path / "joined.bin"
    join(first, count, second, joined)
    both = records(joined)
    assert [record.position for record in both] == list(range(count + len(records(second))))
    for at in (count, len(both) - 3, len(both)):
        whole, part = tmp_path / "whole.img", tmp_path / "part.img"
        replay.replay(base, joined, at, whole)
        replay.replay(between, second, at - count, part)
        assert whole.read_bytes() == part.read_bytes()
    assert [r.wall_ns for r in both[count:]] == [r.wall_ns for r in records(second)]
    with LogReader(joined) as log:
        last = [log.payload(r) for r in both if r.kind is RecordKind.CUT][-1]
    assert json.loads(last)["position"] >= count


def cut(to: Recorder, chance: random.Random, seed: int) -> None:
    """Some writes, and a power cut that takes some of them."""
    scribble(to, chance, 12)
    to.cut(Loss(kind=LossKind.TORN, seed=seed), 12, digest=False)


def test_logs_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    base = base_image(tmp_path)
    medium(tmp_path / "disk", base, Model.DISK).flush()
    medium(tmp_path / "card", base, Model.SD)
    disk, card = tmp_path / "disk/log.bin", tmp_path / "card/log.bin"
    with pytest.raises(LogError, match="is of a sd"):
        join(disk, 1, card, tmp_path / "joined")
    with pytest.raises(LogError, match="has no 2 records"):
        join(disk, 2, disk, tmp_path / "joined")


def test_the_probe_is_one_of_the_files_of_a_recording(first: Recording) -> None:
    assert set(first.files) == {"log.bin", "probe.raucb"}
    first.probe.write_bytes(b"x" * len(PROBE))
    with pytest.raises(ConfigurationError, match=r"probe\.raucb has another content"):
        first.verify()
