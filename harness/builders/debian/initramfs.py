"""The initramfs: the base's static busybox, a few modules, and the recipe's first process.

Made here and not by initramfs-tools: under emulation a small one loads in a second and starts
in a fraction of one. Format: cpio "newc", as in the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import gzip
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from harness.builders.debian import overlay
from harness.builders.debian.kernel import Modules
from harness.builders.debian.tree import Tree
from harness.errors import BuildError

_APPLETS = (
    *("cat", "date", "dd", "echo", "hexdump", "insmod", "mkdir", "mount", "reboot", "sh"),
    *("switch_root", "touch", "umount", "usleep"),
)
_FOLDERS = ("bin", "dev", "proc", "sys", "modules", "newroot", "overlay")


def make(tree: Tree, modules: Modules, wanted: Sequence[str], folders: Sequence[Path]) -> bytes:
    """The compressed initramfs. `wanted` are modules ("name option=value") in loading order.

    Files and symbolic links come from `folders`, of which later ones win; one of them must have
    `init`.
    """
    files = {
        name: source
        for folder in folders
        for name, source in overlay.entries(folder)
        if source.is_symlink() or source.is_file()
    }
    if "init" not in files:
        raise BuildError(f"initramfs: no file 'init' in {', '.join(map(str, folders))}")
    archive = _Cpio()
    for name in _FOLDERS:
        archive.add(name, b"", stat.S_IFDIR | 0o755)
    archive.add("bin/busybox", tree.read("/usr/bin/busybox"), stat.S_IFREG | 0o755)
    for applet in _APPLETS:
        archive.add(f"bin/{applet}", b"busybox", stat.S_IFLNK | 0o777)
    options = {word.split()[0].replace("-", "_"): word.split()[1:] for word in wanted}
    order = []
    for path in modules.closure(word.split()[0] for word in wanted):
        file = path.rpartition("/")[2]
        archive.add(f"modules/{file}", tree.read(path), stat.S_IFREG | 0o644)
        order.append(" ".join([file, *options.get(file.partition(".ko")[0].replace("-", "_"), [])]))
    archive.add(
        "modules/order", "".join(f"{line}\n" for line in order).encode(), stat.S_IFREG | 0o644
    )
    for name, source in sorted(files.items()):
        if source.is_symlink():
            archive.add(name, os.fsencode(source.readlink()), stat.S_IFLNK | 0o777)
        else:
            mode = 0o755 if overlay.executable(source) else 0o644
            archive.add(name, overlay.content(source), stat.S_IFREG | mode)
    return gzip.compress(archive.finish(), compresslevel=6, mtime=0)


class _Cpio:
    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def add(self, name: str, content: bytes, mode: int) -> None:
        """Append an entry of root's, with time 0 (reproducible)."""
        self._inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        path = os.fsencode(name) + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(path), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields)
        self._data += path
        self._pad()
        self._data += content
        self._pad()

    def finish(self) -> bytes:
        """The whole archive."""
        self.add("TRAILER!!!", b"", 0)
        return bytes(self._data)

    def _pad(self) -> None:
        self._data += b"\0" * (-len(self._data) % 4)
