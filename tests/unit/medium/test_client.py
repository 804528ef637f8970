"""The server's life: starting, dying, closing, long paths."""

import os
import signal
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.client import Medium
from harness.errors import LabError
from harness.medium.model import Loss, LossKind

from .nbd_client import board, done


def test_a_long_folder_is_no_problem(tmp_path: Path, image: Path) -> None:
    with Medium(tmp_path / ("x" * 120) / "medium") as medium:
        medium.load(image)
        socket = medium.uri.partition("socket=")[2]
        assert len(socket) < 108
    assert not Path(socket).parent.exists()


def test_close_is_safe_twice_and_start_finds_everything_again(tmp_path: Path, image: Path) -> None:
    medium = Medium(tmp_path / "served")
    medium.start()
    medium.load(image)
    with board(medium.uri, "write -P 1 0 4k") as process:
        done(process)
        medium.close()
    medium.close()
    with medium:
        assert (medium.pending(), medium.position()) == (1, 1)
        medium.freeze()
        medium.drop(Loss(kind=LossKind.NONE))
        assert medium.read(0, 49152) == image.read_bytes()


def test_a_cards_cache_reaches_the_server(tmp_path: Path, image: Path) -> None:
    with Medium(tmp_path / "served", model="sd", cache=1) as medium:
        medium.load(image)
        with board(medium.uri, "write -P 1 0 4k", "write -P 2 0 4k") as process:
            done(process)
            medium.freeze()
        assert medium.drop(Loss.parse("none~1")).unflushed == 1
        assert medium.read(0, 4096) == b"\1" * 4096


def test_a_dead_nbdkit_is_the_labs_fault(medium: Medium) -> None:
    server = medium._server
    assert server
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    with pytest.raises(LabError, match=r"nbdkit in .* died"):
        medium.position()


def test_a_plugin_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("API_VERSION = 2\nraise RuntimeError('the words of the plugin')\n")
    with pytest.raises(LabError, match="the words of the plugin"):
        Medium(tmp_path / "served", plugin=broken).start()


def test_a_missing_nbdkit_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"nbdkit.*\n?.*harness setup"):
        Medium(tmp_path / "served").start()


def test_an_empty_medium_serves_nothing(tmp_path: Path) -> None:
    with Medium(tmp_path / "served") as medium, pytest.raises(LabError, match="flash an image"):
        medium.freeze()


def test_reading_beyond_the_end(medium: Medium) -> None:
    with pytest.raises(LabError, match="not on the medium"):
        medium.read(49152, 1)


def test_before_start(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not started"):
        _ = Medium(tmp_path).uri
