"""Versions are ordered as dpkg orders them; what it cannot order is none."""

import itertools

import pytest

from harness import version
from harness.errors import ConfigurationError

IN_ORDER = ["1.2.0~rc1", "1.2.0", "1.2.0-1", "1.2.0-2", "1.2.0rc1", "1.2.0+b1", "1.10.0", "2"]


def test_later_ones_are_newer() -> None:
    for earlier, later in itertools.pairwise(IN_ORDER):
        assert version.is_newer(later, earlier), (earlier, later)
        assert not version.is_newer(earlier, later), (earlier, later)
        assert not version.is_same(earlier, later)
    assert version.is_same("1.0", "1.00")
    assert not version.is_newer("1.00", "1.0")


@pytest.mark.parametrize("odd", ["", "blue", "1 0", "1-", "-1", "1.0\n", "1.0\x1b", "1" * 65, "Ü1"])
def test_what_has_no_order_is_told(odd: str) -> None:
    assert "is no version" in version.problem(odd)
    with pytest.raises(ConfigurationError, match="is no version"):
        version.is_newer("1", odd)


@pytest.mark.parametrize("even", [*IN_ORDER, "1" * 64, "0~~a"])
def test_what_has_one_is_not(even: str) -> None:
    assert version.problem(even) == ""
