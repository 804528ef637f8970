"""The real readers agree with what is taken for alike, and they are heard when they do not."""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.builders.debian.bootloaders.grub import environment_block
from harness.clients import u_boot_environment
from harness.crash.disk.ext4 import checksum
from harness.crash.disk.readers import selection
from harness.crash.exploration import audit
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.resume import resumed
from harness.crash.results import results
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError, LabError
from harness.judge.verdict import Verdict
from tests.unit.clients.test_u_boot_environment import environment
from tests.unit.crash import recordings
from tests.unit.crash.recordings import LAYOUT, recording

_BLOCK = 4096
DATA = LAYOUT["data"].offset


def mounted(image: Path, time: int = 1_767_225_600) -> Iterator[tuple[int, bytes]]:
    """The first block as a mount some time later writes it: with another time of its last write
    and of its last change, and with the checksum over them."""
    with image.open("rb") as stream:
        stream.seek(DATA)
        block = bytearray(stream.read(_BLOCK))
    for place in (0x2C, 0x30):  # s_mtime, s_wtime: in the first half
        struct.pack_into("<I", block, 1024 + place, time)
    struct.pack_into("<I", block, 1024 + 0x3FC, checksum(bytes(block[1024 : 1024 + 0x3FC])))
    yield DATA, bytes(block)


def torn_and_whole(exploration: Exploration) -> tuple[CrashState, CrashState]:
    """States after the first write of the superblock: torn between its halves, and whole."""
    writes = exploration.writes[0].records
    first = next(each.position for each in writes if each.offset == DATA)
    return parse(f"{first + 1}/torn:{first}:3"), parse(f"{first + 1}/all")


def booted(exploration: Exploration, state: CrashState) -> Booted:
    """A boot of it that has read the selection and the superblock."""
    found = exploration.recording
    made = recordings.proof(found, len(exploration.booted), state, Verdict.OLD)
    return exploration.add(made, sample=False)


def test_a_superblock_that_is_torn_is_decided_by_no_other_state(tmp_path: Path) -> None:
    exploration = Exploration(recording(tmp_path, lambda image: list(mounted(image))), seed=1)
    torn, whole = torn_and_whole(exploration)
    by = booted(exploration, whole)
    assert exploration.decider(whole) is by
    assert exploration.decider(torn) is None
    kinds = [k for one in exploration.undecided() for k in one.kinds if torn in k.states]
    assert [kind.states for kind in kinds] == [[torn]]


def test_what_is_refused_for_the_same_reason_comes_back_from_the_probe_once(tmp_path: Path) -> None:
    """Each is a class of its own; the way back is asked of one of them."""

    def twice(image: Path) -> list[tuple[int, bytes]]:
        return [*mounted(image), *mounted(image, 1_767_229_200)]

    exploration = Exploration(recording(tmp_path, twice), seed=1)
    exploration.classified()
    writes = [each.position for each in exploration.writes[0].records if each.offset == DATA]
    first, second = (parse(f"{at + 1}/torn:{at}:3") for at in writes)
    pictures = [exploration.like(state).picture for state in (first, second)]
    assert pictures[0].odd != pictures[1].odd
    assert pictures[0].condition == pictures[1].condition != frozenset()
    assert exploration.comes_back(first, ()) and not exploration.comes_back(second, [first])
    booted(exploration, parse(f"{writes[0]}/all"))
    assert exploration.comes_back(first, ())  # another sort


def test_the_readers_find_a_torn_superblock_among_whole_ones(tmp_path: Path) -> None:
    """Put together by hand, as an explorer did that left the checksum out of its comparison."""
    exploration = Exploration(recording(tmp_path, lambda image: list(mounted(image))), seed=1)
    torn, whole = torn_and_whole(exploration)
    by = booted(exploration, whole)
    exploration.classified()
    (wrong,) = (
        k for one in exploration.classified().classes for k in one.kinds if torn in k.states
    )
    right = exploration.deciding()[by]
    made = audit.audit(exploration, {by: [*right, wrong]})
    assert made.kinds == len(right) + 1
    assert list(made.odd) == [str(torn)]
    assert "e2fsck -p: 8, not 0" in made.odd[str(torn)]


def test_what_is_decided_alike_is_alike_and_what_was_told_apart_stays_so(tmp_path: Path) -> None:
    exploration = Exploration(recording(tmp_path, lambda image: list(mounted(image))), seed=1)
    while left := exploration.undecided():
        booted(exploration, left[0].kinds[0].states[0])
    made = audit.audit(exploration, exploration.deciding())
    assert made.kinds > made.boots > 1 and made.odd == {}
    by, kinds = max(exploration.deciding().items(), key=lambda each: len(each[1]))
    other = next(k.states[0] for k in kinds if by.proof.state not in k.states)
    assert exploration.decider(other) is by
    assert exploration.tell_apart([other])
    assert not exploration.tell_apart([other])
    assert exploration.decider(other) is None
    assert [other in one.kinds[0].states for one in exploration.undecided()] == [True]
    booted(exploration, other)
    assert exploration.undecided() == []


def test_it_holds_until_something_else_is_decided(tmp_path: Path) -> None:
    exploration = Exploration(recording(tmp_path), seed=1)
    booted(exploration, exploration.undecided()[0].kinds[0].states[0])
    audit.save(audit.audit(exploration, exploration.deciding()), exploration.recording.folder)
    assert audit.made(exploration) is not None
    booted(exploration, exploration.undecided()[0].kinds[0].states[0])
    assert audit.made(exploration) is None


def test_what_was_told_apart_must_not_be_lost(tmp_path: Path) -> None:
    """An audit without it says nothing of what is decided then."""
    found = recording(tmp_path, lambda image: list(mounted(image)))
    exploration = Exploration(found, seed=1)
    torn, whole = torn_and_whole(exploration)
    booted(exploration, whole)
    exploration.tell_apart([torn])
    made = replace(
        audit.audit(exploration, exploration.deciding()), odd={str(torn): "e2fsck -p: 8"}
    )
    audit.save(made, found.folder)
    assert audit.made(resumed(found, seed=1)) == made
    audit.save(replace(made, odd={}), found.folder)
    assert audit.made(resumed(found, seed=1)) is None


def test_it_is_kept_with_the_recording(tmp_path: Path) -> None:
    found = recording(tmp_path)
    assert audit.load(found) is None
    made = results.Audit(kinds=3, boots=2, covers="0" * 64, odd={"9/all": "e2fsck -p: 8, not 0"})
    audit.save(made, found.folder)
    assert audit.load(found) == made
    file = found.folder / audit.FILE
    hostile = {"{}": "kinds", json.dumps({**asdict(made), "odd": {"9/all>3/all>1/all": ""}}): "odd"}
    for text, told in hostile.items():
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=told):
            audit.load(found)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="not a file"):
        audit.load(found)


def test_the_selections_own_tools(tmp_path: Path) -> None:
    good = environment_block(order="B A")
    said = selection("grub", [good, b"x" + good[1:]], tmp_path)
    assert "order=B A" in said and said.startswith("0\n") and "1\n" in said
    first = environment(2, serial=1)
    second = environment(3, serial=2)
    torn = second[:512] + first[512:-1] + b"x"
    assert u_boot_environment.variables(torn) is None
    assert "mender_boot_part=3" in selection("u-boot", [first, second], tmp_path)
    one = selection("u-boot", [first, torn], tmp_path)
    assert "mender_boot_part=2" in one
    assert one == selection("u-boot", [first, torn[:512] + bytes(len(torn) - 512)], tmp_path)


def test_a_reader_that_does_not_work_is_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "e2fsck").write_text("#!/bin/sh\nexit 32\n")
    (fake / "e2fsck").chmod(0o755)
    exploration = Exploration(recording(tmp_path, lambda image: list(mounted(image))), seed=1)
    booted(exploration, torn_and_whole(exploration)[1])
    monkeypatch.setenv("PATH", str(fake), prepend=":")
    with pytest.raises(LabError, match="e2fsck -n does not work"):
        audit.audit(exploration, exploration.deciding())
