"""What the host of a virtual board says that it gave it, and what follows where nobody says it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.boards.hardware.player import Player
from harness.boards.lab_file import BoardOptions
from harness.boards.share import Share
from harness.errors import LabError
from tests.unit.boards.fake_bench import FakeDevice, served

WELL: dict[str, Any] = {"ran": 100.0, "waited": 20.0}
STARVED: dict[str, Any] = {"ran": 100.0, "waited": 110.0, "stolen": 0.1}


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with served(FakeDevice()) as device:
        yield device


def told(device: FakeDevice, *boots: dict[str, Any], **more: Any) -> None:
    device.fed = json.dumps({"boots": boots, **more})


def player_of(device: FakeDevice) -> Player:
    url = f"http://127.0.0.1:{device.http_port}/share"
    return Player("desk", BoardOptions(virtual=True, share=url))


def test_a_real_board_is_played_by_nobody() -> None:
    assert Player("desk", BoardOptions()).share(boots=1) == Share()


def test_the_boots_since_it_was_flashed_count(device: FakeDevice) -> None:
    player = player_of(device)
    told(device, STARVED)
    player.begin()
    told(device, STARVED, WELL)
    assert player.share(boots=1) == Share(ran=100, waited=20)  # the control
    told(device, STARVED, WELL, STARVED, WELL)
    assert player.share(boots=3).starved


def test_what_its_hosts_disk_did_to_a_virtual_board_is_told(device: FakeDevice) -> None:
    player = player_of(device)
    told(device, WELL)
    player.begin()
    told(device, WELL, {**WELL, "medium": "a boot of 390 s waited 250 s for it"}, WELL)
    share = player.share(boots=2)
    assert share.starved and "its medium: a boot of 390 s waited" in str(share)


def test_where_nobody_says_what_a_virtual_board_got_nobody_can_tell() -> None:
    player = Player("desk", BoardOptions(virtual=True))
    player.begin()
    with pytest.raises(LabError, match="is virtual, and nobody says what it got"):
        player.share(boots=1)


@pytest.mark.parametrize(
    ("says", "match"),
    [
        ({"boots": []}, "has begun anew"),
        ({"boots": [WELL]}, "knows of no boot of desk"),
        ({"boots": [WELL, WELL], "trouble": "QEMU ended"}, "not played any more: QEMU ended"),
        ({"boots": [WELL, WELL], "short": 30.0}, "what plays it had no time for 25 s"),
        ({"boots": [WELL, WELL], "short": 1.0}, "has begun anew"),
        ({"boots": [{"ran": -1.0}]}, "1 problem"),
        ({"boots": "none"}, "1 problem"),
        ({}, "1 problem"),
    ],
)
def test_what_is_trouble_of_the_lab(device: FakeDevice, says: dict[str, Any], match: str) -> None:
    player = player_of(device)
    told(device, WELL, short=5.0)
    player.begin()
    device.fed = json.dumps({"short": 5.0, **says} if "boots" in says else says)
    with pytest.raises(LabError, match=match):
        player.share(boots=1)


def test_who_does_not_answer_is_trouble_of_the_lab(device: FakeDevice) -> None:
    nobody = Player("desk", BoardOptions(virtual=True, share="http://127.0.0.1:9/share"))
    with pytest.raises(LabError, match="does not answer"):
        nobody.begin()
    url = f"http://127.0.0.1:{device.http_port}/relay/1/value"
    with pytest.raises(LabError, match="1 problem"):
        Player("desk", BoardOptions(virtual=True, share=url)).begin()
