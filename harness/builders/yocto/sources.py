"""What a kas project builds of: commits of its repositories, and one hash of all that is its own.

`kas dump` (kas 5) puts files, includes and locks together; no repository has to be there. A
repository without a commit, in a lock or in the file, could be any version: that is told.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files, process, schema
from harness.builders.yocto import kas
from harness.errors import ConfigurationError
from harness.product import release as releases

_LEFT = {"__pycache__", ".git"}
_COMMIT = r"[0-9a-f]{40}([0-9a-f]{24})?"  # SHA-1 or SHA-256, never a branch


@dataclass(frozen=True, slots=True)
class KasSources:
    """Repository -> commit, of what is fetched; `inputs` is the hash of files and own layers. What
    it builds for is empty where it does not say."""

    commits: Mapping[str, str]
    inputs: str
    machine: str
    distro: str


def read(project: str) -> KasSources:
    """Of a kas project: its files with colons between. Raises ConfigurationError."""
    described, root = kas.describe(project), kas.root(project)
    commits: dict[str, str] = {}
    own: list[Path] = []
    problems = []
    for name, told in described["repos"].items():
        repo = told or {}
        if not repo.get("url"):
            # Layers are relative to their repository, its path to the project; kas takes all of a
            # repository that names none for one.
            place = root / (repo.get("path") or "")
            folders = [place / each for each in repo.get("layers") or {"": None}]
            own += folders
            problems += [
                f"repos.{name}: there is no layer {files.shown(each)}"
                for each in folders
                if not files.is_folder(each)
            ]
        elif re.fullmatch(_COMMIT, commit := _commit(name, repo, described)):
            commits[name] = commit
        else:
            problems.append(f"repos.{name}: no commit: what was built could be any")
    if problems:
        raise ConfigurationError.of(files.shown(project), problems, hint=f"kas lock {project}")
    return KasSources(
        commits,
        _inputs(root, described, own),
        machine=str(described.get("machine") or ""),
        distro=str(described.get("distro") or ""),
    )


def _commit(name: str, repo: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    overridden = (described.get("overrides") or {}).get("repos", {}).get(name, {})
    return str(overridden.get("commit") or repo.get("commit") or "")


def _files(layer: Path) -> list[Path]:
    """What a layer has; of a whole repository not what git ignores: a build may be there."""
    asked: list[str | Path] = ["git", "-C", layer, "ls-files", "-z", "-co", "--exclude-standard"]
    if (layer / ".git").exists():
        listed = process.run(asked, timeout=60, error=ConfigurationError).stdout
        return sorted({layer / name for name in listed.split("\0") if name})
    return sorted(layer.rglob("*"))


def _inputs(root: Path, described: Mapping[str, Any], layers: list[Path]) -> str:
    """Of the whole configuration, and of every file of the layers beside it."""
    found = hashlib.sha256(schema.to_bytes(dict(described)))
    for layer in sorted(layers):
        for path in _files(layer):
            if files.is_file(path) and not _LEFT.intersection(path.parts):
                line = f"{os.path.relpath(path, root)} {releases.digest(path).sha256}\n"
                found.update(line.encode(errors="surrogateescape"))
    return found.hexdigest()
