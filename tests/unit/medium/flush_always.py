"""Negative control: a plugin that makes every write stable, as a suite without a cache does."""

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[3]))

from harness.boards.qemu.nbd import plugin
from harness.boards.qemu.nbd.plugin import *  # noqa: F403  (all of its callbacks but one)

API_VERSION = 2


def pwrite(  # type: ignore[no-redef]
    era: int, buffer: Any, offset: int, flags: int
) -> None:
    plugin.pwrite(era, buffer, offset, flags)
    plugin.flush(era, 0)
