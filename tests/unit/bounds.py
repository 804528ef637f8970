"""What is given bad input gets so much time and memory, and no more."""

import contextlib
import resource
import signal
from collections.abc import Iterator

SECONDS = 60  # for one command or file: on a machine that has other things to do, too
MEMORY = 2 << 30  # bytes


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """More time is a TimeoutError here, more memory a MemoryError: both are bugs, to everybody.
    What a command makes of signals ends with it."""

    def over(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, over)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        signal.alarm(0)
        for name, handler in before.items():
            signal.signal(name, handler)
