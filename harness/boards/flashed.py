"""What a board was flashed with, and who it is since: files in its run folder."""

import contextlib
import json
from pathlib import Path

from harness import files, schema
from harness.errors import ConfigurationError

FLASHED = "flashed.json"
PIN = "ssh_host_key"
KNOWN_HOSTS = "known_hosts"  # of `harness ssh`, which is OpenSSH


def begin_with(folder: Path, image: Path) -> None:
    """The board has another identity now: host key, and what `harness status` shows."""
    for file in (PIN, KNOWN_HOSTS):
        (folder / file).unlink(missing_ok=True)
    content = {"image": str(image.resolve()), **_release_of(image)}
    files.write_whole(folder / FLASHED, json.dumps(content).encode())


def version(folder: Path) -> str:
    """The version that was flashed: empty for none, `?` when nobody can tell."""
    file = folder / FLASHED
    if not file.exists():
        return ""
    with contextlib.suppress(ConfigurationError):
        content = schema.from_json(dict[str, str], files.read(file), what=file)
        return content.get("version", "?")
    return "?"


def _release_of(image: Path) -> dict[str, str]:
    """Version and machine, when the image lies in a release folder."""
    file = image.parent / "release.json"
    if not files.is_file(file):
        return {}
    with contextlib.suppress(ConfigurationError):
        release = schema.json_data(files.read(file), what=file)
        if isinstance(release, dict):
            return {key: str(release[key]) for key in ("machine", "version") if key in release}
    return {}
