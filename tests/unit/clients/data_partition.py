"""A data partition in a file, with the image's programs that keep it: data, keep and host-key."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.boards.board import CommandResult
from harness.builders.debian import disk
from harness.crash.disk import ext4
from harness.crash.disk.ext4 import FileSystem
from harness.process import run
from harness.product.layout import KEEP, MIB
from tests.unit.boards.fake import FakeBoard
from tests.unit.clients.board import LocalBoard

IMAGES = Path(__file__).parents[3] / "images"
SIZE = 160 * MIB
KEY, ID, SERVER = "ssh/ssh_host_ed25519_key", "config/device-id", "config/update-server"
URL = "http://server:8080\n"


class Off(FakeBoard):
    """A board that is off, as far as its medium, a file, is concerned."""

    def __init__(self, image: Path) -> None:
        self.image = image

    def read(self, offset: int, length: int) -> bytes:
        with self.image.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def overwrite(self, offset: int, content: bytes) -> None:
        with self.image.open("r+b") as stream:
            stream.seek(offset)
            stream.write(content)


class DataPartition:
    """A device in `root`; its data partition is the file `image`, mounted at `data`."""

    def __init__(self, root: Path, *, keep: int = KEEP) -> None:
        self.board = LocalBoard(root)
        self.data = root / "data"
        self.image = root / "partition"
        self.medium = Off(self.image)
        disk.data_partition(self.image, SIZE - keep, 1700000000)
        with self.image.open("r+b") as stream:
            stream.truncate(SIZE)
        self.board.environment |= {
            "GATEWAY_DATA_DEVICE": str(self.image),
            "GATEWAY_KEEP_LOCK": str(root / "lock"),
            "TMPDIR": str(root),
            "PATH": f"{root}/bin:/usr/sbin:/sbin:/usr/bin:/bin",
        }
        for name in ("data", "keep", "host-key"):
            self.ship("common/overlay", name)
        for folder in ("ssh", "config"):
            (root / "proc/sys/kernel/random").mkdir(parents=True, exist_ok=True)
            (self.data / folder).mkdir()
        (root / "proc/sys/kernel/random/uuid").write_text("3c0f9c0e-5b1f-4c39-8d5e-0d7f3a6f6d11\n")

    def ship(self, folder: str, name: str) -> None:
        """Put a program of the image on the device."""
        text = (IMAGES / folder / "usr/lib/gateway" / name).read_text()
        text = text.replace("=/data\n", f"={self.data}\n").replace("!= /data", f"!= {self.data}")
        text = text.replace("/dev/console", f"{self.board.root}/console")
        text = text.replace("/dev/disk/by-partuuid/@SIGNATURE@-04", str(self.image))
        text = text.replace(" /data\n", f" {self.data}\n")
        self.board.program(f"lib-{name}", self.board.moved(text))

    def run(self, program: str) -> CommandResult:
        """Run `data`, `keep save` and so on."""
        return self.board.run(f"/usr/lib/gateway/{program}", timeout=60)

    def provisioned(self) -> None:
        """Without a mount: identity and settings are there, and kept."""
        assert self.run("host-key").returncode == 0
        (self.data / SERVER).write_text(URL)
        assert self.run("keep save").returncode == 0

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """As the device mounts it; needs root."""
        run(["mount", "-o", "loop,noatime", self.image, self.data], timeout=30)
        try:
            yield self.data
        finally:
            run(["umount", self.data], timeout=30)

    def unmount(self) -> None:
        """End what `data` has begun."""
        run(["umount", self.data], timeout=30, check=False)

    @property
    def is_mounted(self) -> bool:
        """Whether `data` has done it."""
        return self.data.is_mount()

    @property
    def said(self) -> str:
        """On the console."""
        path = self.board.root / "console"
        return path.read_text() if path.exists() else ""

    @property
    def system(self) -> FileSystem:
        """Its geometry."""
        return ext4.find(self.image, (0, SIZE - KEEP))

    def crash(self, image: Path) -> None:
        """Go on with a copy of the image that was made at some other time."""
        shutil.copyfile(image, self.image)
