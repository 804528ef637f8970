"""A board of the virtual bench as the harness has it: what the bench does is no failure of a
device, and what the device does is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.board import Board
from harness.boards.hardware.board import HardwareBoard
from harness.boards.hardware.card import HOST
from harness.boards.lab import open_board
from harness.errors import DeviceError, LabError
from harness.judge.trouble import lab_trouble
from harness.simulate.faults import BenchFault
from tests.unit.simulate.conftest import PLACE, needs_bench
from tests.unit.simulate.virtual import Simulated

pytestmark = needs_bench


@pytest.fixture
def board(
    flashed: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HardwareBoard]:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    (tmp_path / "home/pki").mkdir(parents=True)
    with open_board(flashed.lab, PLACE) as opened:
        assert isinstance(opened, HardwareBoard)
        yield opened


def _fails(board: Board) -> str:
    with pytest.raises(DeviceError) as caught:
        board.expect("gateway-health", timeout=1)
    return str(caught.value)


def test_a_well_fed_boards_failure_is_its_own(board: HardwareBoard) -> None:
    board.power_on()
    board.expect("boot", timeout=20)
    assert board.share().ran > 0
    problem = _fails(board)
    board.power_off()
    assert lab_trouble(board, problem) is None


def test_a_mux_that_sticks_in_the_middle_is_trouble_of_the_lab(
    flashed: Simulated, board: HardwareBoard
) -> None:
    assert board.card
    board.card.give(HOST)
    flashed.harness("plant", BenchFault.STUCK_MUX)
    try:
        with pytest.raises(LabError, match="says 'dut', and the card is still at"):
            board.power_on()
    finally:
        flashed.harness("heal")


def test_a_pdu_that_hangs_while_a_board_is_silent_is_trouble_of_the_lab(
    flashed: Simulated, board: HardwareBoard
) -> None:
    board.power_on()
    board.expect("boot", timeout=20)
    flashed.harness("plant", BenchFault.HUNG_PDU)
    try:
        assert "no answer within" in str(lab_trouble(board, _fails(board)))
    finally:
        flashed.harness("heal")
