"""Programs that a variant puts into the initramfs are those that its first process runs."""

import re
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[3] / "images"
PROGRAMS = sorted(IMAGES.glob("*/variants/*/initramfs/bin/*"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parts[-4]}-{path.name}")
def test_they_are_called_by_their_path(program: Path) -> None:
    """Of a bare name Debian's busybox (FEATURE_PREFER_APPLETS) runs its own, whatever lies in /bin:
    such a variant has no fault."""
    init = (IMAGES / "common/initramfs/init").read_text()
    called = re.findall(rf"(?m)^\s*(?:exec )?(\S*\b{program.name})\s", init)
    assert called == [f"/bin/{program.name}"]
