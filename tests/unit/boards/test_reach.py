"""Why a board is not reached: what this host can tell, and what the board itself says."""

import pytest

from harness.boards.hardware import reach
from harness.errors import LabError

KEY = "ssh-ed25519 AAAA"
AT = ("192.0.2.7", 22)


def test_a_host_that_has_its_address_and_a_way_is_not_to_blame() -> None:
    reach.require_way("desk", ("127.0.0.1", 22), "127.0.0.1")
    reach.require_way("desk", ("127.0.0.1", 22), "")


def test_an_address_that_this_host_has_lost_is_trouble_of_the_lab() -> None:
    with pytest.raises(LabError, match=r"this host has no address 192.0.2.1 any more"):
        reach.require_way("desk", ("127.0.0.1", 22), "192.0.2.1")


def test_no_way_to_a_board_is_trouble_of_the_lab() -> None:
    """240.0.0.0/4 is nowhere (RFC 1112), and Linux knows it for a broadcast at its very end."""
    with pytest.raises(LabError, match=r"this host has no way to 255.255.255.255"):
        reach.require_way("desk", ("255.255.255.255", 22), "127.0.0.1")


@pytest.mark.parametrize(
    ("says", "other"),
    [
        (["noise", f"{KEY} root@gateway"], True),
        (["ssh-rsa BBBB", KEY], True),
        (["ssh-ed25519 CCCC root@gateway"], False),  # the control: it is another one
        ([], False),  # it lets nobody in
    ],
)
def test_another_host_at_its_address_is_trouble_of_the_lab(says: list[str], other: bool) -> None:
    def asked() -> None:
        reach.require_other_host("desk", f"{KEY}\n", lambda _: says, AT)

    if other:
        with pytest.raises(LabError, match=r"another host answers at 192.0.2.7:22"):
            asked()
    else:
        asked()
