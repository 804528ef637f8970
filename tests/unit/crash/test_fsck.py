"""A crash state is looked into without a boot: what is in it, and what is wrong with it."""

from pathlib import Path

import pytest

from harness.crash.inspect.fsck import Findings, inspect
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import parse
from harness.crash.states.reader import StateReader
from harness.crash.states.sources import Sources, cut_off
from harness.errors import ConfigurationError
from harness.medium.model import Model
from tests.unit.crash.recordings import LAYOUT, NEW, OLD, recording


@pytest.fixture
def recorded(tmp_path: Path) -> Recording:
    return recording(tmp_path)


def state_file(recorded: Recording, text: str) -> Path:
    sources = Sources(recorded.base.stat().st_size, recorded.base)
    for cut in parse(text).cuts:
        cut_off(sources, recorded.log, Model(recorded.model), cut)
    path = recorded.folder / "state.json"
    sources.save(path)
    return path


def looked_into(recorded: Recording, at: int, loss: str = "none") -> Findings:
    return inspect(recorded, state_file(recorded, f"{at}/{loss}"))


def phase_end(recorded: Recording, name: str) -> int:
    return next(phase.end for phase in recorded.phases if phase.name == name)


def test_before_the_update_all_is_old_and_clean(recorded: Recording) -> None:
    found = looked_into(recorded, recorded.start)
    assert [slot.content for slot in found.slots] == ["old", "old"]
    assert found.selection is not None
    assert found.selection.primary == "A"
    assert found.data_clean
    assert ("/config/update-server", 22) in found.files


def test_after_the_switch_the_new_slot_is_next(recorded: Recording) -> None:
    found = looked_into(recorded, phase_end(recorded, "switch"))
    assert [slot.content for slot in found.slots] == ["old", "new"]
    assert found.selection is not None
    assert found.selection.primary == "B"
    assert "next boot: slot B" in "\n".join(found.lines())


def test_a_slot_that_is_half_written_is_neither(recorded: Recording) -> None:
    writes = recorded.phases[1].start + 5  # mark, change of the boot selection
    found = looked_into(recorded, writes + 2, f"without:{writes}")
    slot = found.slots[1]
    assert slot.content == "neither"
    # three of four characters differ between the versions, in the half that came through
    assert slot.differing == {"old": len(NEW) // 2 * 3 // 4, "new": len(OLD) // 2 * 3 // 4}
    assert f"{len(NEW) * 3 // 8} bytes differ from old" in str(slot)


def test_a_torn_copy_of_the_boot_selection_is_told(recorded: Recording) -> None:
    with recorded.base.open("r+b") as base:
        base.seek(LAYOUT["boot-selection-1"].offset + 100)
        base.write(b"?")
    found = looked_into(recorded, recorded.start)
    assert found.copies[0] is None
    assert found.selection == found.copies[1]
    assert "copy 1: torn" in "\n".join(found.lines())


def test_a_damaged_file_system_is_told(recorded: Recording) -> None:
    offset, _ = LAYOUT["data"]
    with recorded.base.open("r+b") as base:
        base.seek(offset + 1024 + 56)  # s_magic, the super block's signature
        base.write(bytes(2))
    with pytest.raises(ConfigurationError):  # nothing there that has files
        raise_of(recorded)


def raise_of(recorded: Recording) -> None:
    found = looked_into(recorded, recorded.start)
    assert not found.data_clean
    raise ConfigurationError("told", details=found.data)


def test_files_go_into_a_new_folder_only(recorded: Recording, tmp_path: Path) -> None:
    state = state_file(recorded, f"{recorded.end}/all")
    inspect(recorded, state, output=tmp_path / "files")
    assert (tmp_path / "files/config/update-server").read_text().startswith("http://")
    with pytest.raises(ConfigurationError, match="not empty"):
        inspect(recorded, state, output=tmp_path / "files")


def test_a_view_reads_across_extents_and_zeros(recorded: Recording, tmp_path: Path) -> None:
    sources = Sources(recorded.base.stat().st_size, recorded.base)
    sources.put(LAYOUT["slot-A"].offset // 512, 1, sources.file(recorded.new.slot_image), 0)
    sources.put(LAYOUT["slot-A"].offset // 512 + 1, 1, 0x7FFF, 0)
    path = tmp_path / "state.json"
    sources.save(path)
    expected = NEW[:512] + bytes(512) + OLD[1024:1536]
    with StateReader(path) as view:
        assert view.read(LAYOUT["slot-A"].offset, 1536) == expected
        assert view.read(LAYOUT["slot-A"].offset + 10, 1000) == expected[10:1010]
        view.copy(LAYOUT["slot-A"].offset, 1536, tmp_path / "copy")
        with pytest.raises(ConfigurationError, match="not on a disk"):
            view.read(view.size, 1)
    assert (tmp_path / "copy").read_bytes() == expected


def test_a_state_file_whose_files_are_gone_is_refused(recorded: Recording) -> None:
    path = state_file(recorded, f"{recorded.end}/all")
    recorded.log.unlink()
    with pytest.raises(ConfigurationError, match=r"log\.bin"):
        StateReader(path)
