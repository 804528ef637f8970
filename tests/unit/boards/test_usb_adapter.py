"""A USB adapter is plugged in when the board's controller is in use, and again until it counts."""

import threading
from typing import Any, cast

from harness.boards.qemu.qmp import Monitor
from harness.boards.qemu.usb_adapter import Adapter, is_usb
from harness.errors import LabError


class Board:
    """Stands for a QEMU monitor: a controller that comes up, an adapter that gets an address."""

    def __init__(self, *, looks: int, plugs: int) -> None:
        self.said: list[str] = []
        self._looks = looks  # until the controller is in use
        self._plugs = plugs  # until the board gives an address
        self.connected = threading.Event()
        self.gone = False

    def execute(self, command: str, **arguments: Any) -> str:
        if self.gone:
            raise LabError("QEMU went away")
        words = str(arguments.get("command-line", command))
        self.said.append(words)
        if words.startswith("xp"):
            self._looks -= 1
            return f"00000000fe980008: 0x{int(self._looks < 0):08x}\r\n"
        if words == "device_add":
            self._plugs -= 1
            assert arguments == {"driver": "usb-net", "port": "1", "netdev": "net0", "id": "nic"}
        if words == "info usb":
            if self._plugs <= 0:
                self.connected.set()
            address = 2 if self._plugs <= 0 else 0
            return f"  Device 0.{address}, Port 1, Speed 12 Mb/s, Product RNDIS, ID: nic\r\n"
        return ""


def _watched(board: Board, when: str = "0xfe980008:0x1") -> Adapter:
    adapter = Adapter(cast(Monitor, board), "usb-net,port=1", when, patience=0.01)
    adapter.watch()
    return adapter


def test_waits_for_the_controller() -> None:
    board = Board(looks=1, plugs=1)
    adapter = _watched(board)
    assert board.connected.wait(10)
    adapter.close()
    look = "xp /1wx 0xfe980008"
    assert board.said == [look, look, "device_add", "info usb"]


def test_plugs_in_again_until_the_board_has_seen_it() -> None:
    board = Board(looks=0, plugs=3)
    adapter = _watched(board, when="")
    assert board.connected.wait(10)
    adapter.close()
    again = ["info usb", "device_del", "device_add"]
    assert board.said == ["device_add", *again, *again, "info usb"]


def test_ends_with_qemu() -> None:
    board = Board(looks=1000, plugs=1)
    adapter = _watched(board)
    board.gone = True
    adapter.close()
    assert "device_add" not in board.said


def test_only_usb_adapters_are_plugged_in() -> None:
    assert is_usb("usb-net,port=1")
    assert not is_usb("e1000,mac=52:54:00:67:77:01")
