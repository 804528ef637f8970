"""What is read from the files of a recording: strict, all problems at once, never a traceback.

pydantic does the checking. Nothing is coerced, no key is unknown, no number is outside of what
anything can have.
"""

import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from harness.errors import ConfigurationError

__all__ = ["STRICT", "AwareDatetime", "Count", "Sha256", "file_bytes", "parsed"]

T = TypeVar("T")

# Every dataclass that is read from a file carries this as `__pydantic_config__`.
STRICT = ConfigDict(strict=True, extra="forbid")
_SHOWN = 20  # problems of one file

_readers: dict[Any, TypeAdapter[Any]] = {}

Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Seconds = Annotated[float, Field(ge=0, lt=math.inf)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def file_bytes(file: Path, *, hint: str) -> bytes:
    """All of a file; ConfigurationError when it cannot be read."""
    if file.exists() and not file.is_file():
        raise ConfigurationError(f"{file}: no file", hint=hint)
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}", hint=hint) from error


def parsed(kind: type[T], text: bytes, file: Path, *, hint: str, context: Any = None) -> T:
    """Read a `kind` from JSON; `file` is named in errors. Raises ConfigurationError."""
    try:
        if kind not in _readers:
            _readers[kind] = TypeAdapter(kind)  # takes milliseconds each time
        found: T = _readers[kind].validate_json(text, context=context)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)[:_SHOWN]
        ]
        raise ConfigurationError.of(str(file), problems, hint=hint) from error
    return found
