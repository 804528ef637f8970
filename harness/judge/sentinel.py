"""Data of a site's own that no update may touch: the same on every board.

Files and a folder, plain and hidden, of several owners and modes: a service that cannot read its
key any more is as dead as one whose key is lost.
"""

import hashlib
import random
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_SIZE = 64 << 10  # bytes of a file
_LINE = 9  # fields of `ls -ln`: mode, links, owner, group, size, three of the time, name


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteData:
    """A file, or a folder (no content). Names would be another thing on each board: numbers."""

    mode: int = 0o644
    owner: int = 0
    group: int = 0
    content: bytes | None = None

    @property
    def told(self) -> str:
        """As `ls -ln` and sha256sum tell it."""
        letters = zip("rwxrwxrwx", f"{self.mode:09b}", strict=True)
        kind = "d" if self.content is None else "-"
        mode = kind + "".join(letter if bit == "1" else "-" for letter, bit in letters)
        sha = hashlib.sha256(self.content).hexdigest() if self.content is not None else ""
        return f"{mode} {self.owner}:{self.group} {sha}".rstrip()


@cache
def sentinel() -> Mapping[str, SiteData]:
    """Path below the data folder -> what is there; a folder comes before what is in it."""
    source = random.Random(20260101)  # noqa: S311 - content to recognize, not a secret

    def file(mode: int, owner: int = 0, group: int = 0) -> SiteData:
        return SiteData(mode=mode, owner=owner, group=group, content=source.randbytes(_SIZE))

    return {
        "0.bin": file(0o644),
        "1.bin": file(0o600),
        "2.bin": file(0o640, 1000, 1001),
        "3.bin": file(0o755),
        ".hidden": file(0o400, 1000, 1000),
        "site": SiteData(mode=0o750, owner=1000, group=1001),
        "site/4.bin": file(0o660, 1000, 1001),
        "site/.hidden": file(0o644),
    }


def written(folder: str) -> str:
    """The command that gives all of it, once the contents are there, its owners and modes."""
    return " && ".join(
        f"chown {each.owner}:{each.group} {path} && chmod {each.mode:o} {path}"
        for path, each in ((shlex.quote(f"{folder}/{name}"), e) for name, e in sentinel().items())
    )


def asked(folder: str) -> str:
    """The command whose output `changed` reads. POSIX's, but for sha256sum."""
    names = " ".join(sentinel())
    files = " ".join(name for name, each in sentinel().items() if each.content is not None)
    return f"cd {shlex.quote(folder)} && LC_ALL=C ls -ldn {names}; sha256sum {files}"


def changed(said: str) -> list[str]:
    """What is not as it was given, in words, by what a device has said."""
    sums, modes = dict[str, str](), dict[str, str]()
    for line in said.splitlines():
        fields = line.split(maxsplit=_LINE - 1)
        if len(fields) == _LINE:
            modes[fields[-1]] = f"{fields[0][:10]} {fields[2]}:{fields[3]}"
        elif len(fields) > 1:
            sums[fields[1]] = fields[0]
    found = {name: f"{mode} {sums.get(name, '')}".rstrip() for name, mode in modes.items()}
    return [
        f"{name} was {each.told}, is {found.get(name, 'gone')}"
        for name, each in sentinel().items()
        if found.get(name) != each.told
    ]
