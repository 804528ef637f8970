"""The lab files of the repository, and the strategy over labgrid's protocols alone."""

from pathlib import Path

import pytest
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.strategy.common import StrategyError

from harness.boards.lab import board_options, load_lab, open_board
from harness.boards.strategy import GatewayStrategy, Status
from harness.errors import ConfigurationError

LABS = Path(__file__).parents[3] / "labs"


@pytest.mark.parametrize("file", sorted(LABS.glob("*.yaml")), ids=lambda file: file.name)
def test_labgrid_accepts_every_lab_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    environment = load_lab(file)
    for name, options in board_options(file).items():
        assert options["machine"]
        target = environment.get_target(name)
        strategy = target.get_strategy()
        assert isinstance(strategy, GatewayStrategy)
        assert isinstance(strategy.power, PowerProtocol)
        assert isinstance(strategy.console, ConsoleProtocol)
        assert strategy.qemu or (strategy.mux and strategy.storage)


def test_boards_of_the_embedded_lab() -> None:
    assert {"gateway-qemu", "gateway-qemu-2"} <= set(board_options(LABS / "qemu.yaml"))


def test_scenarios_refuse_a_board_that_they_cannot_use() -> None:
    with (
        pytest.raises(ConfigurationError, match="QEMU boards only"),
        open_board(LABS / "rack.yaml", "gateway-rack-1"),
    ):
        pass


def test_strategy_takes_a_board_through_its_states(lab: Path, image: Path) -> None:
    target = load_lab(lab).get_target("one")
    strategy = target.get_strategy()
    driver = strategy.qemu
    try:
        strategy.image = str(image)
        strategy.transition("flashed")
        assert not driver.device.is_on
        strategy.transition("bootloader")
        assert driver.device.is_on
        strategy.transition(Status.off)
        assert not driver.device.is_on
    finally:
        target.deactivate(driver)


def test_a_broken_strategy_stays_broken(lab: Path) -> None:
    target = load_lab(lab).get_target("one")
    strategy = target.get_strategy()
    try:
        strategy.image = "/nowhere/disk.img"
        for state in ("flashed", "off"):
            with pytest.raises(StrategyError, match="broken state"):
                strategy.transition(state)
    finally:
        target.deactivate(strategy.qemu)
