"""Texts of others as one may see and keep them: no credentials, nothing that steers a terminal.

Evidence, releases, guests, git servers and their hooks write what they like. What of it is shown,
logged or kept as text goes through here: in every error (`harness.errors`), every event
(`harness.log`) and every answer of the command line.
"""

import re
from typing import Any

# What stands before the last @ of the authority (RFC 3986, 3.2.1), and what people put there as it
# is: a password may hold / ? # @, and blanks, unless a port stands there. Where it is not clear, it
# is taken out. Of ssh a name alone is no secret.
_PORT = r"\d{1,5}(?![^\s/?#'\",;.:)\]])"
_NAME = r"[^\s/?#@:\[]{0,4096}+"
_USERINFO = re.compile(
    r"(?i)\b(?!ssh://[^\s/@:]*@)([a-z][a-z0-9+.-]{0,30}://)"
    rf"(?:{_NAME}:(?:[^\s@]{{0,4096}}+@){{1,64}}+"
    rf"|{_NAME}:(?!\s|{_PORT})(?:[^\n@]{{0,4096}}+@){{1,64}}+"
    r"|(?:[^\s/?#@]{0,4096}+@){1,64}+)"
)
# The same cut short, as some programs tell it: what follows the colon is no port.
_CUT_SHORT = re.compile(rf"(?i)\b([a-z][a-z0-9+.-]{{0,30}}://{_NAME}:)(?!{_PORT})[^\s/?#'\"@]+")
# user:secret@host:path, as ssh and git take it; a user alone is no secret.
_SCP = re.compile(
    r"(?<![\w./@:+-])[\w.+-]{1,256}+:(?!/)(?:[^\s@]{0,4096}+@){1,16}(?=[\w.-]{1,255}+[:/]|\[)"
)
_QUERY = re.compile(
    r"(?i)([?&;#](?:pat|[\w.%\[\]-]{0,64}"
    r"(?:token|passw|passphrase|pwd|key|secret|auth|credential|signature|jwt)[\w.%\[\]-]{0,64})=)"
    r"[^\s&;#'\"]+"
)
# Headers, as git and curl tell them when they are asked for all that they send.
_HEADER = re.compile(
    r"(?i)\b(authorization:\s{0,16}(?:basic|bearer|token|digest|negotiate)\s{1,16}"
    r"|(?:private|job|deploy|auth|access)-token:\s{0,16})[^\s'\"]+"
)
# Controls (C0 without tab and newline, DEL, C1: ESC and CSI among them), line and paragraph
# separators, and what turns the direction of writing, so that a text looks like another one.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """The text without credentials of URLs; what would steer a terminal is written as `\\x1b`."""
    return _STEERING.sub(_escaped, without_credentials(text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """The same in one line: a newline in it cannot begin a line of its own."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def without_credentials(text: str) -> str:
    """The text with what stands before the `@` of each URL taken out, and secrets in its query."""
    text = _USERINFO.sub(r"\1***@", text)
    text = _SCP.sub("***@", _CUT_SHORT.sub(r"\1***", text))
    return _HEADER.sub(r"\1***", _QUERY.sub(r"\1***", text))


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
