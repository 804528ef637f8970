"""qemu-io as a board: QEMU's own NBD client, in an order of requests that a test chooses."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from harness.process import kill_group

SIZE_LINE = b"48 KiB\n"  # what `length` prints of an image of reference.SIZE bytes, asking nobody


@contextmanager
def board(uri: str, *commands: str) -> Iterator[subprocess.Popen[bytes]]:
    """qemu-io runs `commands` and then holds the connection; killed at the end of the block.

    It must be killed, because it flushes when it closes; and it flushes after each write unless
    it is told to be a device with a write-back cache (`-t writeback`).
    """
    words = ["stdbuf", "-oL", "qemu-io", "-t", "writeback", "-d", "unmap", "-f", "raw"]
    for command in (*commands, "length", "sleep 600000"):
        words += ["-c", command]
    process = subprocess.Popen([*words, uri], stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        kill_group(process)


def done(process: subprocess.Popen[bytes]) -> str:
    """Wait until all commands were answered; what they printed."""
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        if line == SIZE_LINE:
            return "".join(lines)
        lines.append(line.decode())
    raise AssertionError(f"qemu-io ended: {lines}")
