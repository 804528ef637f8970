"""What a booted state is asked, as a digest of the code that asks it.

A proof is the answer to the questions of its day. Whoever lets it stand for a boot of today must
know that today's harness would ask the same, of a board that is made in the same way.
"""

import hashlib
from functools import cache
from pathlib import Path

_ASKING = (
    *("crash/identity", "crash/probe", "crash/prove", "crash/selected", "crash/verdict"),
    *("crash/recording", "crash/state", "crash/workers", "faults/server", "images/layout"),
)
_FOLDERS = ("boards", "clients")


@cache
def digest() -> str:
    """SHA-256 of the judge, the probe with its server, the clients, and what makes a board of a
    state. What the lab file says of the board is the recording's (`Recording.bench`)."""
    root = Path(__file__).parents[1]
    files = [root / f"{name}.py" for name in _ASKING]
    for folder in _FOLDERS:
        files += sorted(path for path in (root / folder).rglob("*") if path.suffix != ".pyc")
    found = hashlib.sha256()
    for path in files:
        if path.is_file():
            found.update(f"{path.relative_to(root)}\n".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
