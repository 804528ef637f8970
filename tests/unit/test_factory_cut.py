"""Power cuts in a first boot: where they strike in what a gateway writes then."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.qemu.nbd.watch import Watch
from harness.product.layout import Region
from harness.product.release import load
from tests.unit.evidence.samples import make_release
from tests.unit.suite_module import suite_module

DATA = Region(offset=1 << 20, length=256 << 20)
# The first writes of a gateway's first boot into its data partition, as a write log has them: bytes
# of each, and what it is.
WRITES = (
    (4096, "superblock"),
    (4096, "host key"),
    (4096, "journal's superblock"),
    (49152, "host key's metadata"),
    (4096, "their commit"),
    (24576, "its name"),
    (4096, "that one's commit"),
    (4096, "device id"),
    (28672, "device id's metadata"),
)


@pytest.fixture
def suite(pytestconfig: pytest.Config) -> Any:
    return suite_module(pytestconfig, "test_factory_cut")


def test_a_cut_is_read_back_as_it_prints(suite: Any) -> None:
    for moment in suite.Moment:
        cut = suite.FactoryCut.parse(f"{moment}/torn:1")
        assert str(cut) == f"{moment}/torn:1"
        assert suite.FactoryCut.parse(str(cut)) == cut
    with pytest.raises(ValueError, match="data:65K"):
        suite.FactoryCut.parse("data:65K/all")


@pytest.mark.parametrize(
    ("moment", "struck"),
    [("data:8K", "host key"), ("data:64K", "their commit"), ("data:96K", "device id")],
)
def test_a_moment_is_the_one_that_is_told(
    suite: Any, tmp_path: Path, moment: str, struck: str
) -> None:
    make_release(tmp_path / "1.1.0", version="1.1.0")
    release = replace(load(tmp_path / "1.1.0"), layout={"data": DATA})
    watch = Watch(suite.when(suite.Moment(moment), release))
    assert [what for size, what in WRITES if watch.written(DATA.offset, size)] == [struck]
