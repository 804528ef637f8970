"""What a board can do is asked for by name, and what it cannot is told by name."""

from pathlib import Path

import pytest

from harness.boards import lab_file
from harness.boards.capability import Capabilities, Capability, Parts
from harness.boards.lab import open_board
from harness.errors import LabError
from tests.unit.boards.fake import FakeBoard


@pytest.mark.parametrize("capability", Capability)
def test_what_is_there_is_given_and_what_is_not_is_told(capability: Capability) -> None:
    name = capability.replace("-", "_")
    whole = FakeBoard()
    assert capability in whole.can
    assert getattr(whole.can, name)
    bare = Capabilities("shelf-1", Parts())
    assert capability not in bare and list(bare) == []
    told = name if capability is not Capability.MEDIUM_READ_LIVE else "medium_read"
    with pytest.raises(LabError, match=f"shelf-1 has no {told.replace('_', '-')}") as caught:
        getattr(bare, name)
    assert "its core only" in caught.value.hint


def test_a_medium_that_is_read_while_the_board_is_off_only() -> None:
    """As through an SD mux."""
    board = FakeBoard()
    board.live = False
    assert Capability.MEDIUM_READ in board.can
    assert Capability.MEDIUM_READ_LIVE not in board.can
    assert board.can.medium_read
    with pytest.raises(LabError, match="fake has no medium-read-live"):
        assert board.can.medium_read_live


@pytest.mark.parametrize(("name", "lacks"), [("one", {Capability.LINK}), ("usb", set())])
def test_qemu_has_them_all_but_for_a_cable_without_a_network(
    lab: Path, name: str, lacks: set[Capability]
) -> None:
    """And the lab file says so before the board is opened."""
    with open_board(lab, name) as board:
        assert set(board.can) == set(Capability) - lacks
    assert lab_file.load(lab).targets[name].lacking == lacks


def test_of_a_board_in_a_rack_the_lab_file_knows_no_capability(lab: Path) -> None:
    assert lab_file.load(lab).targets["rack"].lacking == set(Capability)
