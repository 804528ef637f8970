"""A new release repository: policy, empty rings, first commit."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import PromotionError
from harness.promotion.git import Git
from harness.promotion.policy import POLICY_FILE, Policy
from harness.promotion.repository import Draft, author
from harness.promotion.ring import Ring, RingState

_KEY_FILE = "keys/development.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterPolicy:
    """What all rings of a new repository ask for; fleet also asks for canary first."""

    public_pem: str  # the key whose evidence counts
    machines: Sequence[str]
    scenarios: Sequence[str] = ()
    matching: Mapping[str, int] = field(default_factory=dict)
    further: Mapping[str, int] = field(default_factory=dict)  # more of it, before lab is left
    partial: bool = False  # whether a machine may get a version that the others do not
    labs: Sequence[str] = ()  # none: those of the checkout
    dirty: bool = False  # whether a harness with changes of its own is believed


def init_repository(path: Path, starter: StarterPolicy, *, bare: bool = False) -> None:
    """Make a release repository at `path`, which must not exist or be an empty folder.

    Raises PromotionError, and ConfigurationError for a starter policy that would not load.
    """
    if path.exists() and any(path.iterdir()):
        raise PromotionError(f"{path}: is not empty", hint="name a folder that does not exist yet")
    files = {_KEY_FILE: starter.public_pem, POLICY_FILE: _policy_text(starter)}
    files |= {ring.file: RingState().text() for ring in Ring}
    Policy.load(files.get)
    scratch = Path(tempfile.mkdtemp(prefix="harness-promotion-"))
    try:
        git = Git(scratch)
        git.initialise()
        draft = Draft(git)
        for name, text in files.items():
            draft.write(name, text.encode())
        commit = draft.commit("policy: start with empty rings\n", author(git))
        git.ask("update-ref", "refs/heads/main", commit)
        kind = ["--bare"] if bare else []
        git.ask("clone", "--quiet", *kind, "--", git.folder, path.resolve())
        Git(path).ask("remote", "remove", "origin")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _policy_text(starter: StarterPolicy) -> str:
    rings: dict[str, dict[str, Any]] = {
        str(ring): {
            "machines": list(starter.machines),
            "partial": starter.partial,
            "evidence_keys": ["development"],
            "scenarios": list(starter.scenarios),
            "matching": dict(starter.matching),
            **({"labs": list(starter.labs)} if starter.labs else {}),
            **({"harness": {"dirty": True}} if starter.dirty else {}),
        }
        for ring in Ring
    }
    for ring in (Ring.CANARY, Ring.FLEET):
        rings[ring]["matching"] |= starter.further
    rings[Ring.FLEET]["requires_ring"] = str(Ring.CANARY)
    data = {"schema": 1, "keys": {"development": {"file": _KEY_FILE}}, "rings": rings}
    return "# What each ring asks for: docs/promotion.md\n" + yaml.safe_dump(data, sort_keys=False)
