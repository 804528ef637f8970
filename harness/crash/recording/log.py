"""Write logs as recordings and proofs have them: opened for a `with` block, errors for a person."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigurationError
from harness.medium.log import LogError, LogReader


@contextlib.contextmanager
def opened(path: Path) -> Iterator[LogReader]:
    """A log to read. ConfigurationError when it is missing, damaged or none."""
    try:
        with LogReader(path) as reader:
            yield reader
    except LogError as error:
        hint = "a recording's log: record it again; a proof's: delete its folder, explore again"
        raise ConfigurationError(str(error), hint=hint) from error
    except OSError as error:
        if error.filename != str(path) and error.filename != path:
            raise
        raise ConfigurationError(f"{path}: {error.strerror}", hint="record it again") from error
