"""What a key of a file can be: names, lines, sizes, files that exist, one of several words.

They are annotations for the dataclasses that `harness.schema` reads, and are part of the JSON
Schema that an editor gets. Patterns are Python's, for the whole text; paths are relative to the
folder of the file that names them, which is the reader's `context`.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from harness import files

NAME = r"[a-z0-9][a-z0-9-]{0,62}"  # of a machine, a client, a variant
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"  # in the folder itself, never somewhere else
LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+"  # one line, which can begin no other

_SHOWN = 80  # characters of a wrong value
_LARGEST = 1 << 40  # bytes: no disk of a gateway comes near
_SIZE = r"[0-9]{1,12}[KMG]?"


class Like(NamedTuple):
    """Text that a pattern fits from its first character to its last."""

    pattern: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._fitting, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "pattern": f"^(?:{self.pattern})$"}

    def _fitting(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise ValueError(f"'{text[:_SHOWN]}' does not match {self.pattern}")
        return text


class OneOf(NamedTuple):
    """Text that is one of what there is when it is read: names of parts, by entry point."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "enum": list(self.names())}

    def _known(self, text: str) -> str:
        known = list(self.names())
        if text not in known:
            raise ValueError(f"'{text[:_SHOWN]}' is not one of {', '.join(known)}")
        return text


def _size(value: Any) -> int:
    """Bytes, written as 96M, 512K, 1G or a number; a whole number of MiB."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text)
    if not match:
        raise ValueError(f"'{str(value)[:_SHOWN]}' does not match {_SIZE}")
    size = int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
    if size == 0 or size % (1 << 20):
        raise ValueError(f"'{text}' is not a whole number of MiB")
    if size > _LARGEST:
        raise ValueError(f"'{text}' is more than any disk has")
    return size


def _hex(value: Any) -> str:
    """Eight hex digits; YAML takes those that are all decimal for a number."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9a-f]{8}", text):
        raise ValueError(f"'{str(value)[:_SHOWN]}' does not match [0-9a-f]{{8}}")
    return text


def _below(path: Path, info: ValidationInfo) -> Path:
    folder: Path = info.context or Path()
    return folder / path


def _file(path: Path, info: ValidationInfo) -> Path:
    found = _below(path, info)
    if not files.is_file(found):
        raise ValueError(f"there is no file {files.shown(found)}")
    return found


def _folder(path: Path, info: ValidationInfo) -> Path:
    found = _below(path, info)
    if not files.is_folder(found):
        raise ValueError(f"there is no folder {files.shown(found)}")
    return found


def _folders(value: Any, info: ValidationInfo) -> tuple[Path, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a folder or a list of folders")
    found = tuple(_below(Path(name), info) for name in names)
    if missing := [files.shown(each) for each in found if not files.is_folder(each)]:
        raise ValueError(f"there is no folder {', '.join(missing)}")
    return found


Name = Annotated[str, Like(NAME)]
FileName = Annotated[str, Like(FILE_NAME)]
Line = Annotated[str, Like(LINE)]
MiB = Annotated[
    int,
    PlainValidator(_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": f"^{_SIZE}$"}),
]
Hex32 = Annotated[
    str,
    PlainValidator(_hex),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9a-f]{8}$"}),
]
ExistingFile = Annotated[Path, AfterValidator(_file)]
ExistingFolder = Annotated[Path, AfterValidator(_folder)]
ExistingFolders = Annotated[
    tuple[Path, ...],
    PlainValidator(_folders),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]
