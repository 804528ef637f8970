"""What a kas project builds of: commits of its repositories, and one hash of all that is its own.

`kas dump` (kas 5) puts files, includes and locks together; no repository has to be there. A
repository without a commit, in a lock or in the file, could be any version: that is told.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import files, schema
from harness.builders.yocto import kas
from harness.errors import ConfigurationError
from harness.product import release as releases


@dataclass(frozen=True, slots=True)
class KasSources:
    """Repository -> commit, of what is fetched; `inputs` is the hash of files and own layers."""

    commits: Mapping[str, str]
    inputs: str


def read(project: str) -> KasSources:
    """Of a kas project: its files with colons between. Raises ConfigurationError."""
    described = kas.describe(project)
    own, commits, floating = [], {}, []
    for name, repo in described["repos"].items():
        if not (repo or {}).get("url"):
            own += list((repo or {}).get("layers") or {})
        elif commit := _commit(name, repo, described):
            commits[name] = commit
        else:
            floating.append(f"repos.{name}: no commit: what was built could be any")
    if floating:
        raise ConfigurationError.of(project, floating, hint=f"kas lock {project}")
    return KasSources(commits, _inputs(project, described, own))


def _commit(name: str, repo: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    overridden = (described.get("overrides") or {}).get("repos", {}).get(name, {})
    return str(overridden.get("commit") or repo.get("commit") or "")


def _inputs(project: str, described: Mapping[str, Any], layers: list[str]) -> str:
    """Of the whole configuration, and of every file of the layers beside it."""
    found = hashlib.sha256(schema.to_bytes(dict(described)))
    root = kas.root(project)
    for layer in sorted(layers):
        for path in sorted((root / layer).rglob("*")):
            if files.is_file(path) and "__pycache__" not in path.parts:
                line = f"{path.relative_to(root)} {releases.digest(path).sha256}\n"
                found.update(line.encode(errors="surrogateescape"))
    return found.hexdigest()
