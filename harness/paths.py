"""Where the harness keeps things: the one module that knows.

`home` holds what must not be lost (keys, evidence), `cache` what can be made again.
"""

import os
from pathlib import Path


def checkout() -> Path:
    """The checkout that this harness runs from: recipes, labs and scenarios lie in it."""
    return Path(__file__).resolve().parents[1]


def told(path: Path) -> str:
    """A path as a release and evidence name it: inside of the checkout the same everywhere."""
    resolved = path.resolve()
    inside = resolved.is_relative_to(checkout())
    return str(resolved.relative_to(checkout()) if inside else resolved)


def home() -> Path:
    """Folder of keys and evidence: $HARNESS_HOME or ~/.local/share/harness; made when missing."""
    return _folder("HARNESS_HOME", Path.home() / ".local/share/harness")


def cache() -> Path:
    """Folder of bases, releases and runs: $HARNESS_CACHE or ~/.cache/harness; made when missing."""
    return _folder("HARNESS_CACHE", Path.home() / ".cache/harness")


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable) or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
