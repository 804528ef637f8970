"""Files of a boot partition as a bootloader finds them: by GRUB's own file system code.

`grub-fstest` runs it on a file. It replays no journal and follows a FAT chain as it is, as U-Boot
and UEFI's own driver do; whatever the kernel would repair first, a bootloader does not.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import files, process

_SECONDS = 60.0


def read(partition: bytes, file: str) -> bytes | None:
    """The content of a file of a file system; None when there is no such file, or none that can be
    read to its end."""
    with _kept(partition) as image:
        return content(image, file)


def content(image: Path, file: str) -> bytes | None:
    """As `read`, of a file system in a file."""
    with tempfile.TemporaryDirectory(prefix="boot-file-") as folder:
        copy = Path(folder) / "copy"
        argv: list[str | Path] = ["grub-fstest", image, "cp", f"(loop0){file}", copy]
        done = process.run(argv, timeout=_SECONDS, check=False, env={"LC_ALL": "C"})
        # It ends with 0, and leaves an empty copy, also of what it has not found.
        if done.returncode != 0 or done.stderr.strip() or not files.is_file(copy):
            return None
        return copy.read_bytes()


def folder(partition: bytes, path: str) -> dict[str, bytes]:
    """The files in a folder, by name; nothing when there is no such folder."""
    with _kept(partition) as image:
        argv: list[str | Path] = ["grub-fstest", image, "ls", f"(loop0){path.rstrip('/')}/"]
        done = process.run(argv, timeout=_SECONDS, check=False, env={"LC_ALL": "C"})
        if done.returncode != 0 or done.stderr.strip():
            return {}
        found = {}
        for name in done.stdout.split():
            if not name.endswith("/"):
                found[name] = content(image, f"{path.rstrip('/')}/{name}") or b""
        return found


@contextlib.contextmanager
def _kept(partition: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="boot-partition-") as image:
        image.write(partition)
        image.flush()
        yield Path(image.name)
