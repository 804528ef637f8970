"""The nbdkit plugin: hands an NBD client's requests to a `Store`.

Run by nbdkit in the system's Python (`nbdkit python plugin.py folder=... model=... control=FD`),
which has none of the harness's libraries: everything imported from here on is standard library
only. See nbdkit-python-plugin(3); written for API version 2 as in nbdkit 1.32 (Debian 12).
"""

import errno
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbdkit

# Appended, so that nothing of the harness's environment takes the place of a system module.
sys.path.append(str(Path(__file__).resolve().parents[4]))

from harness.boards.qemu.nbd.control import ControlServer
from harness.boards.qemu.nbd.failing import AskedError
from harness.boards.qemu.nbd.store import PowerLost, Store
from harness.medium.files import SECTOR
from harness.medium.model import Model

API_VERSION = 2

_options: dict[str, str] = {}
_store: Store


def config(key: str, value: str) -> None:
    """One `key=value` of the command line."""
    _options[key] = value


def get_ready() -> None:
    """Open the medium; an error here ends nbdkit with a message."""
    global _store  # noqa: PLW0603  (nbdkit's callbacks are module functions)
    cache = int(_options.get("cache", "0"))
    _store = Store(Path(_options["folder"]), Model(_options["model"]), cache)


def after_fork() -> None:
    """Threads do not survive a fork, so they start here."""
    _store.service.watch()
    ControlServer(_store, socket.socket(fileno=int(_options["control"]))).start()


def thread_model() -> int:
    """Requests run in parallel: a frozen one must not hold up the others' turn to be frozen."""
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def open(readonly: bool) -> int:
    """The handle is the client's era."""
    return _store.attach()


def close(era: int) -> None:
    """The client has gone, or died."""
    _store.detach(era)


def get_size(era: int) -> int:
    """Size in bytes."""
    return _store.size


def block_size(era: int) -> tuple[int, int, int]:
    """Minimum, preferred, maximum: a device knows no part of a sector."""
    return SECTOR, 4096, 32 << 20


def can_flush(era: int) -> bool:
    """An SD card has no flush."""
    return _options["model"] != Model.SD


def can_fua(era: int) -> int:
    """FUA is a flag of the write, never a flush behind it."""
    return int(nbdkit.FUA_NATIVE)


def can_multi_conn(era: int) -> bool:
    """One board, one connection."""
    return False


def pread(era: int, buffer: Any, offset: int, flags: int) -> None:
    """Read."""
    _asked(lambda: _store.read_into(era, buffer, offset))


def pwrite(era: int, buffer: Any, offset: int, flags: int) -> None:
    """Write."""
    _asked(lambda: _store.write(era, buffer, offset, fua=_fua(flags)))


def zero(era: int, count: int, offset: int, flags: int) -> None:
    """Write zeroes."""
    _asked(lambda: _store.zero(era, offset, count, fua=_fua(flags)))


def trim(era: int, count: int, offset: int, flags: int) -> None:
    """Discard."""
    _asked(lambda: _store.trim(era, offset, count, fua=_fua(flags)))


def flush(era: int, flags: int) -> None:
    """Flush."""
    _asked(lambda: _store.flush(era))


def _fua(flags: int) -> bool:
    return bool(flags & nbdkit.FLAG_FUA)


def _asked(request: Callable[[], None]) -> None:
    """Do a request; failures get the error number that a driver would see. One that no fault has
    asked for is ours, and is told when somebody asks how the board was served."""
    try:
        request()
    except PowerLost:
        nbdkit.set_error(errno.ESHUTDOWN)
        raise
    except AskedError as problem:
        nbdkit.set_error(problem.errno or errno.EIO)
        raise
    except Exception as problem:
        _store.service.failed(problem)
        code = errno.EINVAL if isinstance(problem, ValueError) else errno.EIO
        nbdkit.set_error(problem.errno or code if isinstance(problem, OSError) else code)
        raise
