"""The files of a run that are signed with it: console logs and all that is read beside the records.

Not signed are the statement and its envelope, which cannot name themselves, what there is only
while the run goes on, and the report, which anybody may make anew from the rest.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.evidence.evidence import Evidence
from harness.evidence.record import is_plain_path
from harness.evidence.signing import BrokenEvidenceError

STATEMENT_FILE = "evidence.json"
ENVELOPE_FILE = "evidence.dsse.json"
HEADER_FILE = "run.json"  # while the run goes on
REPORT_FILE = "report.html"
_OTHERS = {HEADER_FILE, STATEMENT_FILE, ENVELOPE_FILE, REPORT_FILE}


def of(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each file of a run. A log that is not there is left out, and shows in the
    report as missing. BrokenEvidenceError for what is no file of the run's own."""
    return {name: _digest(folder / name) for name in sorted(_own(folder))}


def changed(folder: Path, evidence: Evidence) -> Iterator[str]:
    """Which files of a run are gone, or have another content than was signed, or came later."""
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
    for place, folders, files in os.walk(folder, onerror=_refuse):
        for name in [*files, *(each for each in folders if (Path(place) / each).is_symlink())]:
            path = Path(place) / name
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BrokenEvidenceError(f"{path}: not a file of its own")
            found.append(path.relative_to(folder).as_posix())
    return found


def _refuse(error: OSError) -> None:
    raise BrokenEvidenceError(f"{error.filename}: {error.strerror}") from error


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BrokenEvidenceError(f"{file}: {error.strerror}") from error
