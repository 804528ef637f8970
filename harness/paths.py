"""Where the harness keeps things: the one module that knows.

`home` holds what must not be lost (keys, evidence), `cache` what can be made again.
"""

import os
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError


def home() -> Path:
    """Folder of keys and evidence: $HARNESS_HOME or ~/.local/share/harness; made when missing."""
    return _folder("HARNESS_HOME", ".local/share/harness")


def cache() -> Path:
    """Folder of bases, releases and runs: $HARNESS_CACHE or ~/.cache/harness; made when missing."""
    return _folder("HARNESS_CACHE", ".cache/harness")


def ssh_key() -> Path:
    """The private key by which the harness logs in, where nobody names another one: made by who
    builds images that let it in (harness.builders.debian.pki)."""
    return home() / "pki/ssh_ed25519"


def _folder(variable: str, default: str) -> Path:
    named = os.environ.get(variable)
    try:
        folder = Path(named) if named else Path.home() / default
    except RuntimeError as error:  # a user who is in no list of users
        raise ConfigurationError(str(error), hint=f"${variable} can name the folder") from error
    return files.make_folder(folder, hint=f"${variable} names it" if named else "")
