"""What is read from the files of a recording: `harness.files` and `harness.schema`, by file."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from harness import files, schema
from harness.schema import STRICT, AwareDatetime, Count, Seconds, Sha256

__all__ = [
    "STRICT",
    "TCG",
    "Accelerated",
    "AwareDatetime",
    "Count",
    "Seconds",
    "Sha256",
    "file_bytes",
    "parsed",
]

T = TypeVar("T")
TCG = "tcg"
Accelerated = Annotated[str, Field(pattern="^(tcg|kvm)$")]  # what executed a board's instructions

_LIMIT = 512 << 20  # bytes: results.json of a card has a row for each of its writes


def file_bytes(file: Path, *, hint: str) -> bytes:
    """All of a file; ConfigurationError when it cannot be read."""
    return files.read(file, limit=_LIMIT, hint=hint)


def parsed(kind: type[T], text: bytes, file: Path, *, hint: str, context: Any = None) -> T:
    """Read a `kind` from JSON; `file` is named in errors. Raises ConfigurationError."""
    return schema.from_json(kind, text, what=file, hint=hint, context=context)
