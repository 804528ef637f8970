"""A proof carries over to another recording where all that its boots have read is there, too."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.crash.disk import ext4
from harness.crash.exploration import audit, carried, prove, summary
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.recount import recount
from harness.crash.exploration.resume import resumed
from harness.crash.recording.recording import Recording, own_files
from harness.crash.results import report, results
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError
from harness.evidence import crash
from harness.judge.identity import Identity
from harness.judge.verdict import Verdict
from harness.product import release as releases
from harness.product.release import Digest, Release
from tests.unit.crash import recordings
from tests.unit.crash.explored import explore
from tests.unit.crash.logs import SECTOR
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, NEW, recording

NEXT = NEW[: 3 * SECTOR] + b"next" * 128  # a version that is another one in its last sector
SLOT_B = LAYOUT["slot-B"].offset // SECTOR
BOOT = LAYOUT["boot"].offset // SECTOR
DATA_END = LAYOUT["data"].offset + DATA_SIZE


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording that was explored to its end, and its releases."""
    folder = tmp_path_factory.mktemp("explored")
    explore(recording(folder, careful=True).folder)
    return folder


@pytest.fixture
def other(explored: Path, tmp_path: Path) -> Recording:
    """The same, for one test alone."""
    shutil.copytree(explored / "run", tmp_path / "other")
    return Recording.load(tmp_path / "other")


def next_one(
    folder: Path, old: Release, new: bytes = NEXT, extra: recordings.Extra = lambda _: ()
) -> Recording:
    """The next version, recorded on the same device."""
    folder.mkdir()
    return recording(folder, extra, careful=True, old=old, new=new)


def reading(other: Recording, more: tuple[int, int], *, slots: str = "") -> list[CrashState]:
    """Let the boots of states with this in slot B have read `more`, too; their states."""
    told = []
    exploration = resumed(other, seed=1)
    for each in exploration.booted:
        if each.slots[1] == slots and not each.nested and not each.sample:
            reads = sorted({*each.proof.reads, more})
            replace(each.proof, reads=reads, reads_judged=reads).save()
            told.append(each.proof.state)
    return told


def used(run: Recording) -> set[CrashState]:
    """The states of the other recording whose proofs hold here, but for second cuts."""
    found = resumed(run, seed=1).carried
    return {each.proof.state for each in found if not each.nested}


def first_cuts(found: Recording) -> set[CrashState]:
    """The states that were booted and are neither a sample nor a second cut."""
    return {each.state for each in prove.proofs(found) if not each.state.nested and not each.sample}


def test_a_version_that_differs_where_nobody_looked_keeps_the_proofs(
    other: Recording, tmp_path: Path
) -> None:
    run = next_one(tmp_path / "next", other.old)
    without = Exploration(run, seed=1)
    assert without.undecided()
    carried.take(run, [other.folder])
    exploration = resumed(run, seed=1)
    assert exploration.undecided() == []
    assert used(run) == first_cuts(other)
    told = summary.results_of(exploration, seconds=1.0, jobs=1)
    assert told.counts.decided["carried"] == told.counts.cut_points and told.boots == []
    assert {each.carried for each in told.proofs} == {other.id}
    assert not told.complete  # what was carried is sampled, too
    before = {(point.at, *point.verdicts.items()) for point in results.load(other.folder).points}
    assert {(point.at, *point.verdicts.items()) for point in told.points} == before


def test_a_proof_that_has_read_what_differs_is_lost_and_no_other(
    other: Recording, tmp_path: Path
) -> None:
    """The last sector of slot B, in boots where the new version fills it."""
    read = reading(other, (SLOT_B + 3, 1), slots="new")
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    assert read and used(run) == first_cuts(other) - set(read)
    exploration = resumed(run, seed=1)
    assert {one.slots[1] for one in exploration.undecided()} == {"new"}
    # What those have read is in no proof that is left: nobody has to compare it.
    assert not exploration.read_set.reads[SLOT_B + 3]


def test_a_proof_that_has_read_what_is_the_same_in_the_new_version_is_kept(
    other: Recording, tmp_path: Path
) -> None:
    assert reading(other, (SLOT_B + 1, 2), slots="new")
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    assert used(run) == first_cuts(other)


def test_what_no_log_writes_must_be_the_same_in_the_image(other: Recording, tmp_path: Path) -> None:
    read = reading(other, (BOOT, 1), slots="new")
    old = changed(other.old, tmp_path / "old", at=BOOT * SECTOR)
    run = next_one(tmp_path / "next", old)
    carried.take(run, [other.folder])
    assert read and used(run) == first_cuts(other) - set(read)


def test_what_both_write_is_compared_and_who_never_agrees_leaves_no_trace(tmp_path: Path) -> None:
    place = DATA_END // SECTOR - 3
    (tmp_path / "first").mkdir()
    other = recording(tmp_path / "first", wrote(place, b"a"), careful=True)
    explore(other.folder)
    read = reading(other, (place, 1), slots="new")
    run = next_one(tmp_path / "next", other.old, extra=wrote(place, b"b"))
    carried.take(run, [other.folder])
    assert read and used(run) == first_cuts(other) - set(read)
    assert not resumed(run, seed=1).read_set.reads[place]


def wrote(sector: int, content: bytes) -> recordings.Extra:
    return lambda _: [(sector * SECTOR, content * SECTOR)]


def test_a_longer_version_counts_as_far_as_it_goes(other: Recording, tmp_path: Path) -> None:
    """Behind the version that was recorded the slot was empty; here the version is there."""
    read = reading(other, (SLOT_B + 4, 1), slots="new")
    run = next_one(tmp_path / "next", other.old, NEW + b"more" * 256)
    carried.take(run, [other.folder])
    assert read and used(run) == first_cuts(other) - set(read)


def changed(release: Release, folder: Path, *, at: int) -> Release:
    """A copy of a release with another byte in its disk image."""
    shutil.copytree(release.folder, folder)
    with (folder / "disk.img").open("r+b") as image:
        os.pwrite(image.fileno(), b"x", at)
    files = {**release.files, "disk.img": releases.digest(folder / "disk.img")}
    found = replace(release, folder=folder, files=files)
    found.write()
    return found


def another_probe(run: Recording) -> Recording:
    run.probe.write_bytes(b"another probe")
    return replace(run, files=own_files(run.folder))


CHANGES: list[tuple[Callable[[Recording], Recording], str]] = [
    (lambda run: replace(run, identity=Identity(host_key="ssh-ed25519 BBBB")), "identity"),
    (lambda run: replace(run, server_port=20002), "port of the update server"),
    (lambda run: replace(run, probe_slot=Digest(sha256="0" * 64, size=1)), "probe"),
    (another_probe, "probe"),
    (lambda run: replace(run, board="large-1"), "board"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told for _, told in CHANGES])
def test_of_another_device_nothing_is_carried(
    other: Recording, tmp_path: Path, change: Callable[[Recording], Recording], told: str
) -> None:
    run = change(next_one(tmp_path / "next", other.old))
    run.save()
    with pytest.raises(ConfigurationError, match=f"another {told}"):
        carried.take(run, [other.folder])
    assert carried.taken(run.folder) == ()


def test_nothing_is_carried_from_another_data_partition(other: Recording, tmp_path: Path) -> None:
    old = changed(other.old, tmp_path / "old", at=DATA_END - 1)
    run = next_one(tmp_path / "next", old)
    with pytest.raises(ConfigurationError, match="another data partition"):
        carried.take(run, [other.folder])


def test_only_what_was_asked_the_same_and_ended_well_is_carried(
    other: Recording, tmp_path: Path
) -> None:
    first, second, *_ = prove.proofs(other)
    replace(first, asked="0" * 64).save()
    failed = replace(second, verdict=Verdict.BRICKED, final="", slot="", broken=recordings.BROKEN)
    failed.save()
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    assert used(run) == first_cuts(other) - {first.state, second.state}


def test_what_another_harness_had_asked_is_carried_no_more(
    other: Recording, tmp_path: Path
) -> None:
    """It had once been taken, when that was this one."""
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    assert used(run)
    for each in prove.proofs(other):
        replace(each, asked="0" * 64).save()
    assert not used(run)


def test_of_a_recording_that_contradicts_itself_by_now_nothing_is_carried(
    other: Recording, tmp_path: Path
) -> None:
    """Its results were written before its last boot, of a replay or of one that was interrupted."""
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    decided = next(each for each in prove.proofs(other) if not each.state.nested)
    recordings.proof(other, 999, decided.state, Verdict.BRICKED, sample=True)
    with pytest.raises(ConfigurationError, match="came out otherwise than others"):
        resumed(run, seed=1)


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_product_with_other_promises_is_judged_otherwise(
    other: Recording, tmp_path: Path, which: str
) -> None:
    run = next_one(tmp_path / "next", other.old)
    mine = getattr(run, which)
    product = replace(mine.product, promises=replace(mine.product.promises, attempts=1))
    changed = replace(mine, product=product)
    told = "another product in the field" if which == "old" else "another product that is installed"
    assert told in list(carried._differences(replace(run, **{which: changed}), other))


def test_a_version_of_another_name_is_no_end_of_this_one(other: Recording, tmp_path: Path) -> None:
    run = next_one(tmp_path / "next", other.old)
    newer = replace(run.new, version="1.2.0")
    newer.write()
    run = replace(run, new=newer)
    run.save()
    carried.take(run, [other.folder])
    finals = {each.proof.final for each in resumed(run, seed=1).carried}
    assert finals == {"old"}


def test_an_honest_one_is_counted_again_and_one_of_changed_proofs_is_refused(
    other: Recording, tmp_path: Path
) -> None:
    reading(other, (SLOT_B + 3, 1), slots="new")
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    explore(run.folder)
    found = results.load(run.folder)
    assert found.complete and not found.disagreements and found.counts.undecided == 0
    assert 0 < found.counts.decided["carried"] < found.counts.cut_points
    assert found.counts.booted > 0 < found.counts.sampled
    recount(run, found)
    numbers = crash.record_of(found, run.folder, run.clock).fault
    assert numbers and numbers.parameters["carried_from"] == [other.id]
    page = report.write(run.folder).read_text()
    assert f"{len(found.boots)} boots to a verdict, and " in page and "of other recordings" in page
    assert f"of recording {other.id:.12}" in page
    proof = next(p for p in prove.proofs(other) if p.state in used(run))
    replace(proof, reads=[*proof.reads, (BOOT, 1)], recording="0" * 64).save()
    with pytest.raises(ConfigurationError, match="is another one"):
        recount(run, found)
    replace(proof, verdict=Verdict.RECOVERED).save()
    with pytest.raises(ConfigurationError, match="came out otherwise"):
        recount(run, found)
    replace(proof, seconds=proof.seconds + 1).save()
    with pytest.raises(ConfigurationError, match="not what recording and proofs come to"):
        recount(run, found)
    replace(other, seed=8).save()
    with pytest.raises(ConfigurationError, match="by now, not"):
        recount(run, found)
    (run.folder / carried.FILE).write_text('{"recordings": 3}')
    with pytest.raises(ConfigurationError, match=r"carried\.json"):
        recount(run, found)


def test_the_sample_asks_what_was_carried(other: Recording, tmp_path: Path) -> None:
    """The device of this recording does otherwise: it is seen, and what it should have been."""
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    exploration = resumed(run, seed=1)
    state = (
        next(one for one in exploration.classified().classes if one.slots[1] == "new")
        .kinds[0]
        .states[0]
    )
    by = exploration.decider(state)
    assert by and by.carried
    made = recordings.proof(run, 0, state, Verdict.BRICKED, sample=True)
    exploration.add(made, sample=True)
    (told,) = summary.results_of(exploration, seconds=1.0, jobs=1).disagreements
    assert (told.state, told.got) == (str(state), "bricked")
    assert told.proof == f"{other.id:.12}/{by.proof.folder.name}"


def test_a_recording_that_is_not_explored_or_is_not_sure_has_no_proofs(
    other: Recording, tmp_path: Path
) -> None:
    run = next_one(tmp_path / "next", other.old)
    with pytest.raises(ConfigurationError, match="is the recording itself"):
        carried.take(run, [run.folder])
    with pytest.raises(ConfigurationError, match=r"results\.json"):
        carried.take(other, [run.folder])
    exploration = resumed(other, seed=1)
    sample = next(each.proof for each in exploration.booted if each.sample)
    replace(sample, verdict=Verdict.BRICKED, final="", slot="", broken=recordings.BROKEN).save()
    summary.write(resumed(other, seed=1), other.folder, seconds=1.0, jobs=1)
    with pytest.raises(ConfigurationError, match="came out otherwise"):
        carried.take(run, [other.folder])


def test_a_list_that_leads_nowhere_is_damaged(other: Recording, tmp_path: Path) -> None:
    (other.folder / carried.FILE).symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"carried\.json"):
        carried.taken(other.folder)


def test_proofs_go_on_to_the_next_but_one(other: Recording, tmp_path: Path) -> None:
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    explore(run.folder)
    last = next_one(tmp_path / "last", other.old, NEW[: 3 * SECTOR] + b"last" * 128)
    carried.take(last, [run.folder])
    assert [each.id for each in carried.taken(last.folder)] == [run.id, other.id]
    assert resumed(last, seed=1).undecided() == []


def test_the_readers_are_asked_about_what_was_carried(other: Recording, tmp_path: Path) -> None:
    """And what they tell apart, no proof from elsewhere decides."""
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    exploration = resumed(run, seed=1)
    made = audit.audit(exploration, exploration.deciding())
    assert made.odd == {} and made.boots == len(exploration.deciding()) > 1
    assert made.covers != audit.covers(Exploration(run, seed=1))
    state = exploration.main.classes[0].kinds[0].states[0]
    assert exploration.decider(state)
    exploration.tell_apart([state])
    assert exploration.decider(state) is None


def without_bitmap(image: Path) -> list[tuple[int, bytes]]:
    """Zeros over the first block bitmap, which no boot here reads."""
    system = ext4.find(image, LAYOUT["data"])
    block = next(first for first, _, name in system.parts if name == "Block bitmap")
    return [(system.sector(block) * SECTOR, bytes(system.block_size))]


def test_the_readers_are_given_what_was_booted_elsewhere(tmp_path: Path) -> None:
    """There a log has written what none here does: e2fsck makes something else of it."""
    (tmp_path / "first").mkdir()
    other = recording(tmp_path / "first", without_bitmap, careful=True)
    explore(other.folder)
    run = next_one(tmp_path / "next", other.old)
    carried.take(run, [other.folder])
    exploration = resumed(run, seed=1)
    assert exploration.undecided() == []
    made = audit.audit(exploration, exploration.deciding())
    assert set(made.odd.values()) == {"e2fsck -fn after it: 0, not 4"}
    exploration.tell_apart(map(parse, made.odd))
    assert exploration.undecided()
