"""What a machine needs before BitBake starts; hours later is too late to find out.

The programs are those of the Yocto manual ("Required Packages for the Build Host") for wrynose, by
the Debian package that has them.
"""

import os
import shutil
from pathlib import Path

from harness import process
from harness.errors import LabError

SPACE = 90 << 30  # bytes, for both machines and their caches
PROGRAMS = {  # program -> Debian package
    "chrpath": "chrpath",
    "cpio": "cpio",
    "diffstat": "diffstat",
    "file": "file",
    "g++": "g++",
    "gawk": "gawk",
    "gcc": "gcc",
    "git": "git",
    "lz4": "lz4",
    "make": "make",
    "makeinfo": "texinfo",
    "patch": "patch",
    "perl": "perl",
    "python3": "python3",
    "rpcgen": "rpcsvc-proto",
    "unzip": "unzip",
    "wget": "wget",
    "xz": "xz-utils",
    "zstd": "zstd",
}
_LOCALE = "en_US.utf8"


def require(folder: Path) -> None:
    """LabError with all that is missing, in one line: programs, a locale, space in `folder` (which
    need not be there), another user than root."""
    problems = []
    if packages := sorted({name for tool, name in PROGRAMS.items() if not shutil.which(tool)}):
        problems.append(f"missing packages: {' '.join(packages)}")
    if _LOCALE not in _locales():
        problems.append("no locale en_US.UTF-8 (locale-gen)")
    free = shutil.disk_usage(_there(folder)).free
    if free < SPACE:
        problems.append(f"{free >> 30} GiB free in {folder}, {SPACE >> 30} are needed")
    if os.geteuid() == 0:
        problems.append("BitBake refuses to run as root")
    if problems:
        raise LabError(f"this machine cannot build with BitBake: {'; '.join(problems)}")


def _locales() -> list[str]:
    return process.run(["locale", "-a"], timeout=30, check=False).stdout.splitlines()


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())
