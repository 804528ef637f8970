"""Storage faults as data."""

import pytest

from harness.faults.storage import StorageFault


def test_printed_form_reads_back() -> None:
    fault = StorageFault(length=32768)
    assert str(fault) == "zero-tail:32768"
    assert StorageFault.parse(str(fault)) == fault


@pytest.mark.parametrize("text", ["", "zero-tail", "zero-tail:", "zero-tail:0", "zero-head:1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a storage fault|invalid literal"):
        StorageFault.parse(text)


def test_the_tail_of_a_range() -> None:
    assert StorageFault(length=32768).within(1 << 20, 65536) == ((1 << 20) + 32768, 32768)
    assert StorageFault(length=32768).within(512, 512) == (512, 512)
