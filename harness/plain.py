"""Texts of others as they may be shown and kept: no credentials, nothing that steers a terminal.

Evidence, releases, guests, git servers and their hooks write what they like. What of it is shown,
logged or kept as text goes through here: in every error (`harness.errors`), every event
(`harness.log`) and every answer of the command line.
"""

import re
from typing import Any

# RFC 3986, 3.2.1: what stands before the last @ of the authority. Of ssh a name alone is no secret.
_USERINFO = re.compile(r"(?i)\b(?!ssh://[^\s/@:]*@)([a-z][a-z0-9+.-]*://)[^\s/?#]*@")
# Controls (C0 without tab and newline, DEL, C1: ESC and CSI among them), line and paragraph
# separators, and what turns the direction of writing, so that a text looks like another one.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """The text without credentials in URLs; what would steer a terminal is written as `\\x1b`."""
    return _STEERING.sub(_escaped, without_credentials(text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """The same in one line: a newline in it cannot begin a line of its own."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def without_credentials(text: str) -> str:
    """The text with what stands before the `@` of each URL taken out."""
    return _USERINFO.sub(r"\1***@", text)


def plain_data(value: Any) -> Any:
    """JSON data of which all texts are plain; what is no JSON (a path) is told as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {plain(str(key)): plain_data(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(each) for each in value]
    return plain(str(value))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
