"""What a profile says of a boot selection in words of its reader: `boot_selection.words`."""

import re
from collections.abc import Mapping

from harness.errors import ConfigurationError
from harness.product.profile import SelectionSource


def checked(source: SelectionSource, defaults: Mapping[str, str]) -> dict[str, str]:
    """The words, with `defaults` for those that are not said (empty: it need not be said).
    ConfigurationError that names each word that the reader does not know."""
    if strange := sorted(source.words.keys() - defaults.keys()):
        known = ", ".join(defaults) or "none"
        raise ConfigurationError.of(
            "boot_selection",
            [f"words.{name}: '{source.reader}' knows no such word" for name in strange],
            hint=f"it knows: {known} (docs/adopt.md)",
        )
    found = {**defaults, **source.words}
    if found.get("A") and found.get("A") == found.get("B"):
        raise _wrong("B", f"{found['B']!r} is said of slot A, too")
    return found


def pattern(words: Mapping[str, str], name: str, *groups: str) -> re.Pattern[str]:
    """A word that is a regular expression with those groups; ConfigurationError otherwise."""
    try:
        found = re.compile(words[name])
    except re.error as error:
        raise _wrong(name, f"is no regular expression: {error}") from error
    if lacking := [each for each in groups if each not in found.groupindex]:
        raise _wrong(name, f"has no group (?P<{lacking[0]}>...)")
    return found


def number(words: Mapping[str, str], name: str, *, least: int = 0, most: int = 1 << 30) -> int:
    """A word that is a number, decimal or 0x..., within bounds; ConfigurationError otherwise."""
    try:
        found = int(words[name], 0)
    except ValueError as error:
        raise _wrong(name, f"{words[name]!r} is no number") from error
    if not least <= found <= most:
        raise _wrong(name, f"{found} is not within {least} and {most}")
    return found


def file_of(source: SelectionSource) -> str:
    """The file that a reader of files cannot do without; ConfigurationError without one."""
    if not source.file:
        raise ConfigurationError(f"boot_selection.file: missing: '{source.reader}' reads a file")
    return source.file


def _wrong(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"boot_selection.words.{name}: {why}", hint="docs/adopt.md")
