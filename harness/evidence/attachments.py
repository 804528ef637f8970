"""The files of a run that are signed with it: console logs and all that is read beside the records.

Not signed are the statement and its envelope, which cannot name themselves, what there is only
while the run goes on, and the report, which anybody may make anew from the rest.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError
from harness.evidence.evidence import Evidence
from harness.evidence.record import is_plain_path
from harness.evidence.signing import BrokenEvidenceError

STATEMENT_FILE = "evidence.json"
ENVELOPE_FILE = "evidence.dsse.json"
HEADER_FILE = "run.json"  # while the run goes on
REPORT_FILE = "report.html"
LARGEST = 4 << 30  # bytes of all that is signed with a run: it is read whenever the run is
_OTHERS = {HEADER_FILE, STATEMENT_FILE, ENVELOPE_FILE, REPORT_FILE}


def of(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each file of a run. A log that is not there is left out, and shows in the
    report as missing. BrokenEvidenceError for what is no file of the run's own."""
    own = sorted(_own(folder))
    _require_readable(folder, own)
    return {name: _digest(folder / name) for name in own}


def changed(folder: Path, evidence: Evidence) -> Iterator[str]:
    """Which files of a run are gone, or have another content than was signed, or came later.
    BrokenEvidenceError when they are larger than anything that is signed."""
    _require_readable(folder, [name for name in evidence.attachments if is_plain_path(name)])
    for name, sha in evidence.attachments.items():
        if not is_plain_path(name):
            yield f"{name}: leaves the run's folder"
        elif not (folder / name).is_file():
            yield f"{name}: missing"
        elif _digest(folder / name) != sha:
            yield f"{name}: changed"
    for name in sorted(_own(folder).difference(evidence.attachments)):
        yield f"{name}: was not there"


def _own(folder: Path) -> set[str]:
    own = {name for name in names(folder) if not name.startswith(("records/", "."))}
    return own - _OTHERS


def names(folder: Path) -> list[str]:
    """Relative names of all files below a folder. BrokenEvidenceError when one is a link or no
    file, or a folder cannot be looked into."""
    found = []
    for place, folders, others in os.walk(folder, onerror=_refuse):
        for name in [*others, *(each for each in folders if (Path(place) / each).is_symlink())]:
            path = Path(place) / name
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BrokenEvidenceError(f"{path}: not a file of its own")
            found.append(path.relative_to(folder).as_posix())
    return found


def _refuse(error: OSError) -> None:
    raise BrokenEvidenceError(f"{error.filename}: {error.strerror}") from error


def _require_readable(folder: Path, own: Iterable[str]) -> None:
    """Sizes cost nothing to read, and files can be larger than any disk."""
    sizes = {name: (folder / name).stat().st_size for name in own if files.is_file(folder / name)}
    if sum(sizes.values()) > LARGEST:
        name = max(sizes, key=sizes.__getitem__)
        raise BrokenEvidenceError(
            f"{files.shown(folder)}: the files of a run have at most {LARGEST:,} bytes together",
            details=f"  {name} has {sizes[name]:,}",
        )


def _digest(file: Path) -> str:
    try:
        with files.opened(file) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except ConfigurationError as error:
        raise BrokenEvidenceError(error.brief) from error
