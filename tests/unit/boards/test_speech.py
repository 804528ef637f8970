"""What is typed must come back whole, and what a board says of its own is no echo."""

from dataclasses import dataclass

import pytest

from harness.boards.doctor.finding import CouldNotLook
from harness.boards.doctor.speech import require_echo
from harness.errors import LabError

HEALTH = b"gateway-health: slot A: ok after 12 s [  21.337421]\r\n"


@dataclass
class Echo:
    """Sends back what is typed, every `lost`th byte not; says something itself in so many lines."""

    lost: int = 0
    says: int = 0
    heard: bytes = b""
    count: int = 0

    def type(self, data: bytes) -> None:
        self.count += 1
        if not self.lost or self.count % self.lost:
            self.heard += data
        if data == b"\x15":
            self.says -= 1
            self.count = 0
        elif self.says > 0 and self.count == 9:
            self.heard += HEALTH


def typed(line: Echo) -> str:
    return require_echo(line, lambda: line.heard)


@pytest.mark.parametrize("says", [0, 1, 2])
def test_what_comes_back_whole_is_well_though_the_board_says_something_meanwhile(says: int) -> None:
    assert typed(Echo(says=says)) == "32 typed characters came back"


def test_what_is_lost_is_told() -> None:
    with pytest.raises(LabError, match="24 of 32 typed characters came back"):
        typed(Echo(lost=4))


def test_nobody_can_tell_of_a_board_that_does_not_stop() -> None:
    with pytest.raises(CouldNotLook):
        typed(Echo(says=99))
