"""A recording comes back as it was saved, knows its phases, and notices what has changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.boards.lab_file import described
from harness.crash.recording import phases
from harness.crash.recording.recording import FILE, Recording
from harness.errors import ConfigurationError
from harness.medium.log import Origin, create_log
from harness.product.layout import MIB
from tests.unit.crash.recordings import (
    AFTER,
    DATA_SIZE,
    LAYOUT,
    MARKED_B,
    NEW,
    Log,
    recording,
    release,
)


def test_another_bench_is_another_recording(tmp_path: Path) -> None:
    """Memory, processor and all else that the lab file says of the board."""
    found = recording(tmp_path)
    lab = "targets: {small-1: {options: {machine: a}, drivers: {HarnessQemuDriver: {memory: %s}}}}"
    found.lab.write_text(lab % "256M")
    found = replace(found, board="small-1@2", bench=described(found.lab, "small-1"))
    found.require_bench()
    assert replace(found, bench="{}").id != found.id
    for other in (lab % "1G", "targets: {}"):
        found.lab.write_text(other)
        with pytest.raises(ConfigurationError, match=r"targets\.small-1: not the board any more"):
            found.require_bench()


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = recording(tmp_path)
    loaded = Recording.load(saved.folder)
    assert loaded == saved
    assert loaded.folder == saved.folder
    assert loaded.probe == saved.folder / "probe.raucb"


def test_a_newer_version_is_part_of_it(tmp_path: Path) -> None:
    found = recording(tmp_path)
    newer = release(tmp_path / "newer", "2.0.0", NEW[:-512] + b"more" * 128)
    more = replace(found, newer=newer)
    more.save()
    loaded = Recording.load(found.folder)
    assert (loaded, loaded.newer, loaded.probe_version) == (more, newer, newer)
    assert loaded.id != found.id
    newer.artifact.write_bytes(newer.artifact.read_bytes()[:-1] + b"!")
    with pytest.raises(ConfigurationError, match="1 problem"):
        loaded.verify()


def test_every_record_of_the_update_is_in_one_phase(tmp_path: Path) -> None:
    found = recording(tmp_path)
    names = [phase.name for phase in found.phases]
    assert names == [
        *("boot-old", "install", "switch", "installed", "reboot", "bootloader", "boot-new"),
        *("commit", "settled", "install-2", "switch-2", "installed-2", "reboot-2"),
        *("bootloader-2", "boot-trial", "reject", "bootloader-3", "rolled-back"),
    ]
    borders = [(phase.start, phase.end) for phase in found.phases]
    assert [end for _, end in borders] == [*(start for start, _ in borders[1:]), found.end]
    assert borders[0][0] == found.start
    assert found.phase(found.start) == "boot-old"
    assert found.phase(found.start - 1) == found.phase(found.end) == ""


def test_the_switch_is_the_change_after_the_slot_is_written(tmp_path: Path) -> None:
    found = recording(tmp_path)
    install, switch = found.phases[1], found.phases[2]
    # the mark, a slot that is marked bad first, two slot writes and their flush
    assert switch.start - install.start == 1 + 4 + 3
    assert switch.end - switch.start == 4


def test_what_the_running_slot_gets_meanwhile_is_no_part_of_the_switch(tmp_path: Path) -> None:
    """A slot that is mounted for writing: its own files are written at any time."""
    create_log(tmp_path / "log.bin", Origin(model="disk", size=MIB + DATA_SIZE, base="-"))
    log = Log(tmp_path / "log.bin").mark(phases.START).mark(phases.INSTALL).select(MARKED_B)
    log.slot("slot-B").flush().select(AFTER).slot("slot-A").flush()
    log.mark(phases.INSTALLED).mark(phases.END).writer.close()
    found = phases.find(tmp_path / "log.bin", LAYOUT)
    assert [(each.name, each.start) for each in found.phases][-2:] == [
        ("switch", 9),
        ("installed", 13),
    ]


def test_a_switch_before_the_slot_is_written_is_seen_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log.bin"
    create_log(path, Origin(model="disk", size=16 * MIB, base=""))
    log = Log(path).mark(phases.START).mark(phases.INSTALL).select(b"x" * 512).slot("slot-B")
    log.mark(phases.END).writer.close()
    names = [(phase.name, phase.start) for phase in phases.find(path, LAYOUT).phases]
    assert names == [("boot-old", 0), ("install", 1), ("switch", 2), ("installed", 6)]


def test_a_log_without_its_marks_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "log.bin"
    create_log(path, Origin(model="disk", size=16 * MIB, base=""))
    Log(path).mark(phases.START).data().writer.close()
    with pytest.raises(ConfigurationError, match="no complete recording"):
        phases.find(path, LAYOUT)


def test_where_the_harness_itself_was_at_work_there_is_no_cut_point(tmp_path: Path) -> None:
    found = recording(tmp_path, factory=True)
    first, provision, *_ = found.phases
    for at in (1, first.end, found.start + 1, found.end):
        found.require_cut(at)
    for at in (0, provision.start + 1, found.start, found.end + 2):
        with pytest.raises(ConfigurationError, match=f"no cut point after {at} records"):
            found.require_cut(at)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"recording\.json: No such file"):
        Recording.load(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ConfigurationError, match="1 problem"):
        Recording.load(tmp_path)


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    run = recording(tmp_path).folder
    content = json.loads((run / FILE).read_text())
    del content["start"]
    content["more"] = 1
    (run / FILE).write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as caught:
        Recording.load(run)
    assert "start: missing" in caught.value.details
    assert "more: unknown key" in caught.value.details


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("old/release.json", None, "old/release.json"),
        ("old/release.json", ("1.0.0", "1.0.1"), "another version"),
        ("old/disk.img", None, "disk.img is missing"),
        ("run/log.bin", None, "log.bin is missing"),
        ("run/recording.json", ("2026-01-01", "2026-13-01"), "clock"),
    ],
)
def test_what_has_changed_is_refused(
    tmp_path: Path, file: str, content: tuple[str, str] | None, told: str
) -> None:
    run = recording(tmp_path).folder
    path = tmp_path / file
    if content:
        path.write_text(path.read_text().replace(*content))
    else:
        path.unlink()
    with pytest.raises(ConfigurationError) as caught:
        Recording.load(run)
    assert told in caught.value.details
