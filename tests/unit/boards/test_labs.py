"""The lab files of the repository, and the strategy over labgrid's protocols alone."""

from pathlib import Path

import pytest
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.strategy.common import StrategyError

from harness.boards import lab_file
from harness.boards.board import Addresses
from harness.boards.lab import board_options, load_lab, open_board
from harness.boards.strategy import GatewayStrategy, Status
from harness.errors import ConfigurationError

LABS = Path(__file__).parents[3] / "labs"


# Those with a RemotePlace need a coordinator: tests/unit/simulate/test_lab_files.py.
ALONE = [LABS / "bench.yaml", LABS / "qemu.yaml"]


def test_a_board_that_is_played_has_the_same_remedies_on_a_bench() -> None:
    """A hang of QEMU's USB network is the lab's, whoever shows the board."""
    played = board_options(LABS / "qemu.yaml")["rpi4-qemu"]
    shown = board_options(LABS / "virtual-rack.yaml")["rpi4-virtual-1"]
    for key in ("ssh_prepare", "ssh_patience", "network_reset"):
        assert played[key] == shown[key]


@pytest.mark.parametrize("file", ALONE, ids=lambda file: file.name)
def test_labgrid_accepts_every_lab_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert {*LABS.glob("*.yaml")} == {
        *ALONE,
        *(LABS / name for name in ("rack.yaml", "rack-exporter.yaml", "virtual-rack.yaml")),
    }
    environment = load_lab(file)
    for name, options in board_options(file).items():
        assert options["machine"]
        target = environment.get_target(name)
        strategy = target.get_strategy()
        assert isinstance(strategy, GatewayStrategy)
        assert isinstance(strategy.power, PowerProtocol)
        assert isinstance(strategy.console, ConsoleProtocol)
        assert strategy.qemu or strategy.mux


def test_boards_of_the_embedded_lab() -> None:
    assert {"gateway-qemu", "gateway-qemu-2"} <= set(board_options(LABS / "qemu.yaml"))


BAD_LABS = {
    "a raising import": ("imports: [boom.py]\ntargets: {one: {drivers: {HarnessQemuDriver: {}}, "
                         "options: {machine: m}}}", "imports: ZeroDivisionError"),
    "an import that ends": ("imports: [ends.py]\ntargets: {one: {drivers: {HarnessQemuDriver: {}},"
                            " options: {machine: m}}}", "imports: SystemExit"),
    "targets a list": ("targets: [one]", "targets: "),
    "no targets": ("imports: []", "targets: "),
    "a target that is text": ("targets: {one: x}", "targets.one: "),
    "an unknown option": ("targets: {one: {options: {machine: m, slwo: true}}}", "options.slwo: "),
    "an address that is none": ("targets: {one: {options: {machine: m, listen: localhost}}}",
                                "options.listen: "),
    "an option of another kind": ("targets: {one: {options: {machine: 1}}}", "options.machine: "),
    "a board without a banner": ("targets: {one: {options: {machine: m}}}",
                                 "options.boot_banner is missing"),
    "a banner that is none": ("targets: {one: {options: {machine: m, boot_banner: '('}}}",
                              "options.boot_banner: "),
    "a place that leaves its folder": ("targets: {../../one: {}}", "'../../one' is no name"),
    "a key twice": ("targets: {one: {}, one: {}}", "occurs twice"),
    "empty options": ("targets: {one: {options: , drivers: {HarnessQemuDriver: {}}}}",
                      "options.machine is missing"),
    "a driver that nobody knows": ("targets: {one: {options: {machine: m}, drivers: "
                                   "{HarnessQemuDriver: {}, Nope: {}}}}", "board one: "),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_LABS)
def test_a_bad_lab_file_is_told_by_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boom.py").write_text("1 / 0")
    (tmp_path / "ends.py").write_text("raise SystemExit(0)")
    text, told = BAD_LABS[kind]
    lab = tmp_path / "lab.yaml"
    lab.write_text(text)
    with pytest.raises(ConfigurationError) as caught, open_board(lab, "one"):
        pass
    assert caught.value.brief.startswith(str(lab))
    assert told in str(caught.value)


def test_empty_options_are_none(tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("targets: {one: {options: }, two: }")
    assert board_options(lab) == {"one": {}, "two": {}}


@pytest.mark.parametrize("name", ["one@../../x", "../one", "", "@"])
def test_a_board_is_no_path(lab: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a board"), open_board(lab, name):
        pass


@pytest.mark.parametrize("name", ["a", "gateway-qemu", "a@7", "a@record@1"])
def test_a_board_and_more_like_it(name: str) -> None:
    """A recording is of one of its kind, and its states are booted on more of that one."""
    lab_file.require_name(name)


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


def test_where_servers_are_is_the_lab_files_to_say(lab: Path) -> None:
    """What it does not say is QEMU's own way: this host's loopback."""
    with open_board(lab, "one") as board:
        assert board.addresses == Addresses(listen="127.0.0.1", host="10.0.2.2")
    with open_board(lab, "far") as board:
        assert board.addresses == Addresses(listen="192.0.2.7", host="192.0.2.1")
