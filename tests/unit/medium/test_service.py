"""What a host's disk does to a board: how long requests took, and errors that nobody asked for."""

import os
import signal
import threading
from pathlib import Path

import pytest

from harness.boards.qemu.board import require_served
from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.nbd.service import BootServed, Service
from harness.boards.qemu.nbd.store import PowerLost, Store
from harness.errors import LabError
from harness.medium.model import Failing, Loss, Misdeed
from tests.unit.medium.nbd_client import board, done

from .reference import SIZE


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_boot_has_its_own_figures() -> None:
    clock = Clock()
    service = Service(clock)
    service.attached()
    for took in (0.25, 1.0):
        with service.request():
            clock.now += took
    clock.now += 8.75
    service.detached()
    clock.now += 100  # off
    service.attached()
    service.looked(1.2)
    service.looked(4.0)
    clock.now += 5
    first, second = service.figures()
    assert first == BootServed(seconds=10.0, requests=2, taken=1.25, worst=1.0)
    assert second == BootServed(seconds=5.0, stopped=3.0)
    service.detached()
    service.looked(60.0)  # nobody waited
    assert service.figures()[1].stopped == 3.0
    service.begin()
    assert service.figures() == []


def test_who_asks_for_much_at_once_waits_for_itself() -> None:
    clock = Clock()
    service = Service(clock)
    service.attached()
    with service.request(4096):
        clock.now += 1
        with service.request(512):
            clock.now += 1
        clock.now += 1
    (served,) = service.figures()
    assert (served.taken, served.worst, served.size, served.requests) == (3.0, 3.0, 4608, 2)


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (BootServed(), ""),
        (BootServed(seconds=30, requests=15000, taken=4.0, worst=0.5), ""),
        # A board that does nothing but read: its own doing, however long.
        (BootServed(seconds=300, requests=400000, taken=200.0, worst=0.5), ""),
        # The same of one that writes as much as it can.
        (BootServed(seconds=25, requests=1043, size=1043 << 20, taken=25.0, worst=3.1), ""),
        (
            BootServed(seconds=300, requests=15000, taken=100.0, worst=0.5),
            "",
        ),  # slow, and not mostly
        (BootServed(seconds=390, requests=15000, taken=250.0, worst=1.0), "waited 250 s"),
        (BootServed(seconds=60, requests=10, taken=31.0, worst=31.0), "did not answer for 31 s"),
        (BootServed(seconds=300, requests=15000, taken=4.0, stopped=40.0), "not answer for 40 s"),
        (
            BootServed(seconds=30, requests=9, errors=2, error="OSError(28)"),
            "2 requests with an error",
        ),
        (BootServed(seconds=8, requests=9, taken=8.0, worst=7.0), ""),  # too little to be felt
    ],
)
def test_what_is_trouble_of_the_lab(served: BootServed, told: str) -> None:
    assert told in served.trouble and bool(told) == bool(served.trouble)


def test_a_boot_is_called_by_its_mark(store: Store) -> None:
    """Others connect, too: who writes a card from outside."""
    store.detach(store.attach())
    store.attach()
    store.mark("boot 1")
    store.mark("installed")
    assert [each.name for each in store.service.figures()] == ["", "boot 1"]


def test_what_a_fault_asks_for_is_no_trouble(store: Store) -> None:
    era = store.attach()
    store.fail([Failing(what=Misdeed.SLOW, seconds=0.3), Failing(what=Misdeed.WRITE_ERROR)])
    with pytest.raises(OSError, match="eio-write"):
        store.write(era, bytes(512), 0)
    store.read_into(era, bytearray(512), 0)
    (served,) = store.service.figures()
    assert (served.requests, served.errors) == (1, 0)
    assert served.worst < 0.3 < served.seconds


def test_a_request_that_a_power_cut_leaves_alone_took_no_time(store: Store) -> None:
    era = store.attach()
    store.freeze()
    frozen = threading.Thread(target=lambda: _lost(store, era))
    frozen.start()
    store.drop(Loss.parse("none"))
    store.release()
    frozen.join()
    assert [each.requests for each in store.service.figures()] == [0]


def _lost(store: Store, era: int) -> None:
    with pytest.raises(PowerLost):
        store.write(era, bytes(512), 0)


def test_a_server_that_is_well_is_told_so(medium: Medium) -> None:
    with board(medium.uri, *["read 0 4k"] * 20, "write 0 4k", "flush") as qemu_io:
        done(qemu_io)
        require_served("board", medium)
        (served,) = medium.served()
    assert served.requests >= 22 and served.errors == 0
    assert 0 < served.worst < 5 and served.taken < served.seconds


def test_a_server_that_is_stopped_is_the_labs(medium: Medium) -> None:
    """For real: whatever a board does not do meanwhile is not its fault."""
    server = medium._server
    assert server
    with board(medium.uri, "read 0 4k") as qemu_io:
        done(qemu_io)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            threading.Event().wait(12)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        threading.Event().wait(1.5)
        with pytest.raises(LabError, match=r"board: the bench is too slow .* waited 1\d s"):
            require_served("board", medium)
    medium.freeze()
    medium.drop(Loss.parse("none"))
    medium.release()
    medium.save(_empty(medium.folder.parent / "kept"))
    medium.restore(medium.folder.parent / "kept")
    require_served("board", medium)  # those boots are gone


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


_BROKEN = """\
import sys
sys.path.append({root!r})
from harness.boards.qemu.nbd import plugin
globals().update({{name: each for name, each in vars(plugin).items() if not name.startswith("__")}})

def get_ready():
    plugin.get_ready()
    plugin._store._damage = None  # a bug of ours: every read ends with an error
    plugin._store._open = lambda medium: opened(medium)

def opened(medium):
    type(plugin._store)._open(plugin._store, medium)
    plugin._store._damage = None
"""


def test_errors_that_nobody_asked_for_are_the_labs(tmp_path: Path, image: Path) -> None:
    """A bug in our own server once ended as final failures of the device."""
    broken = tmp_path / "broken.py"
    broken.write_text(_BROKEN.format(root=str(Path(__file__).resolve().parents[3])))
    with Medium(tmp_path / "served", plugin=broken) as medium:
        medium.load(image)
        with board(medium.uri, "read 0 4k") as qemu_io:
            assert "read failed: Input/output error" in done(qemu_io)
            with pytest.raises(LabError, match=r"1 requests with an error: AttributeError"):
                require_served("board", medium)
        assert medium.size() == SIZE
