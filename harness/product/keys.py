"""Reading a mapping of a configuration file key by key, collecting every problem with its key path.

A reader gives a harmless value back when a key is wrong, so that one pass finds all problems; the
caller raises once at the end when `problems` is not empty.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.plain import one_line

_SHOWN = 80  # characters of a wrong value
_LARGEST = 1 << 40  # bytes: no disk of a gateway comes near

NAME = r"[a-z0-9][a-z0-9-]{0,62}"  # of a machine, a client, a variant
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"  # in the folder itself, never somewhere else
LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+"  # one line, which can begin no other


class Keys:
    """One mapping: `path` is its key path ("" at the top), `problems` is shared by all levels."""

    def __init__(self, content: Any, path: str, folder: Path, problems: list[str]) -> None:
        self._path = path
        self._folder = folder
        self._problems = problems
        self._used: set[str] = set()
        self._content: dict[str, Any] = {}
        if isinstance(content, dict):
            self._content = {str(key): value for key, value in content.items()}
        else:
            problems.append(f"{path or 'the file'}: must be a mapping of keys")

    def finish(self) -> None:
        """Report every key that nobody asked for."""
        for key in self._content:
            if key not in self._used:
                self._problem(key, f"unknown key (known here: {', '.join(sorted(self._used))})")

    def peek(self, key: str) -> Any:
        """The raw value or None, without marking the key as used."""
        return self._content.get(key)

    def used(self, key: str) -> None:
        """Accept the key as it is."""
        self._used.add(key)

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: str = "",
        allowed: Sequence[str] = (),
    ) -> str:
        """A string; required without `default`; YAML numbers count as text (6a7e0001, 10000000)."""
        value = self._get(key, default)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            self._problem(key, "must be text")
            return ""
        text = str(value)
        if allowed and text not in allowed:
            self._problem(key, f"'{text[:_SHOWN]}' is not one of {', '.join(allowed)}")
        self._require_match(key, text, pattern)
        return text

    def texts(self, key: str, *, pattern: str = "") -> tuple[str, ...]:
        """A list of strings, empty when missing."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._problem(key, "must be a list of texts")
            return ()
        for item in value:
            self._require_match(key, item, pattern)
        return tuple(value)

    def number(
        self, key: str, *, default: int | None = None, least: int = 1, most: int = _LARGEST
    ) -> int:
        """A whole number from `least` to `most`; required without `default`."""
        value = self._get(key, default)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._problem(key, f"must be a whole number from {least} to {most}")
            return 0
        return value

    def pairs(self, key: str) -> dict[str, tuple[int, int]]:
        """A mapping of names to two whole numbers; required."""
        value = self._get(key, None)
        found = {}
        for name, pair in value.items() if isinstance(value, dict) else ():
            if isinstance(pair, list) and [type(number) for number in pair] == [int, int]:
                found[str(name)] = (pair[0], pair[1])
            else:
                self._problem(f"{key}.{name}", "must be two whole numbers")
        if value is not None and not isinstance(value, dict):
            self._problem(key, "must be a mapping of names to two whole numbers")
        return found

    def size(self, key: str) -> int:
        """Bytes, written as 96M, 512K, 1G or a number; a whole number of MiB."""
        text = self.text(key, pattern=r"[0-9]{1,12}[KMG]?")
        match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text)
        if not match:
            return 0
        size = int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
        if size == 0 or size % (1 << 20):
            self._problem(key, f"'{text}' is not a whole number of MiB")
        if size > _LARGEST:
            self._problem(key, f"'{text}' is more than any disk has")
        return size

    def file(self, key: str) -> Path:
        """An existing file, relative to the configuration's folder."""
        return self._existing(key, kind="file")

    def folder(self, key: str) -> Path:
        """An existing folder, relative to the configuration's folder."""
        return self._existing(key, kind="folder")

    def folders(self, key: str) -> tuple[Path, ...]:
        """One existing folder or a list of them, relative to the configuration's folder."""
        value = self._get(key, None)
        names = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._problem(key, "must be a folder or a list of folders")
            return ()
        for name in names:
            if not files.is_folder(self._folder / name):
                self._problem(key, f"there is no folder {self._folder / name}")
        return tuple(self._folder / name for name in names)

    def names(self, key: str, *, pattern: str, of: str) -> dict[str, str]:
        """A mapping of names (like `of`) to texts (like `pattern`), empty when missing."""
        value = self._get(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            self._problem(key, "must be a mapping of names to texts")
            return {}
        for name, text in value.items():
            self._require_match(key, str(name), of)
            self._require_match(f"{key}.{name}", text, pattern)
        return {str(name): text for name, text in value.items()}

    def section(self, key: str, *, default: Any = None) -> "Keys":
        """A mapping below `key`; required without `default`."""
        value = self._get(key, default)
        content = {} if value is None else value
        return Keys(content, self._name(key), self._folder, self._problems)

    def sections(self, key: str, *, of: str = "") -> dict[str, "Keys"]:
        """A mapping of names (like `of`) to mappings, empty when missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            self._problem(key, "must be a mapping of names")
            return {}
        for name in value:
            self._require_match(key, str(name), of)
        return {
            str(name): Keys(item, f"{self._name(key)}.{name}", self._folder, self._problems)
            for name, item in value.items()
        }

    def _existing(self, key: str, *, kind: str) -> Path:
        path = self._folder / self.text(key)
        if not (files.is_folder(path) if kind == "folder" else files.is_file(path)):
            self._problem(key, f"there is no {kind} {path}")
        return path

    def _get(self, key: str, default: Any) -> Any:
        self._used.add(key)
        if key not in self._content and default is None:
            self._problem(key, "missing")
        return self._content.get(key, default)

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _require_match(self, key: str, text: str, pattern: str) -> None:
        if pattern and not re.fullmatch(pattern, text, re.ASCII):
            self._problem(key, f"'{text[:_SHOWN]}' does not match {pattern}")

    def _problem(self, key: str, what: str) -> None:
        self._problems.append(one_line(f"{self._name(key)}: {what}"))
