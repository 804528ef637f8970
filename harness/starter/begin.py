"""Makes a product folder: a recipe, a lab, a scenario, CI files, a release policy."""

import io
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import files, process, project
from harness.errors import ConfigurationError
from harness.evidence import signing
from harness.promotion.starter import StarterPolicy, init_repository
from harness.starter import archive

RELEASES = "releases.git"
_HERE = Path(__file__).parent
_FILES = _HERE / "files"
_GIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a product of one machine begins with."""

    machine: str  # and the folder of its recipe in the checkout
    recipe: str  # folder in the product
    board: str  # of labs/qemu.yaml


STARTS = {
    "legacy-gateway": Start(
        machine="legacy-gateway", recipe="recipes/gateway", board="gateway-qemu"
    ),
    "rpi4": Start(machine="rpi4", recipe="recipes/rpi4", board="rpi4-qemu"),
}


def begin(folder: Path, start: Start) -> None:
    """Make the product folder, ready to be committed, and an empty release repository in it.

    It appears at once and whole. Raises ConfigurationError when something is there already.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ConfigurationError(f"{files.shown(folder)}: is there", hint="name a new folder")
    process.run(["git", "--version"], timeout=_GIT_SECONDS, error=ConfigurationError)
    signer = signing.load_signer()
    target = folder.resolve()
    with files.told(folder):
        files.make_folder(target.parent)
        with tempfile.TemporaryDirectory(prefix=".harness-", dir=target.parent) as name:
            new = Path(name) / target.name
            new.mkdir()
            _unpack(new, start)
            _write_templates(new, start)
            policy = StarterPolicy(
                public_pem=signing.public_pem(signer),
                machines=[start.machine],
                scenarios=("update",),
                further={"bad-update[*": 1, "network[*": 1, "power-cut[*": 2},
            )
            init_repository(new / RELEASES, policy, bare=True)
            _into_git(new)
            if target.exists():  # somebody's working folder, maybe
                for part in new.iterdir():
                    part.rename(target / part.name)
            else:
                new.rename(target)


def _unpack(new: Path, start: Start) -> None:
    """The machine's recipe, what all recipes share, and the lab files."""
    with _opened() as packed:
        packed.extraction_filter = lambda member, _: member  # ours: an image's links are absolute
        for member in packed.getmembers():
            if placed := _placed(PurePosixPath(member.name), start):
                member.name = str(placed)
                packed.extract(member, new)


def _opened() -> tarfile.TarFile:
    packed = _HERE / archive.FILE
    if packed.exists():
        return tarfile.open(packed)
    checkout = project.checkout()
    if checkout is None:
        raise ConfigurationError(f"{packed}: is missing", hint="install the harness again")
    kept = io.BytesIO()
    archive.pack(checkout, kept)
    kept.seek(0)
    return tarfile.open(fileobj=kept)


def _placed(name: PurePosixPath, start: Start) -> PurePosixPath | None:
    """Where something of the archive lies in a product; None: it is not in it."""
    match name.parts:
        case ("images", "common", *rest):
            return PurePosixPath("recipes/common", *rest)
        case ("images", start.machine, "yocto.yaml"):
            return None  # the kas project that it names is the checkout's
        case ("images", start.machine, *rest):
            return PurePosixPath(start.recipe, *rest)
        case ("labs", "qemu.yaml"):
            return name
    return None


def _write_templates(new: Path, start: Start) -> None:
    """The files of `harness/starter/files` (`dot-x` is called `.x` here); what stands between two
    @ there is the product's."""
    words = {"@machine@": start.machine, "@recipe@": start.recipe, "@board@": start.board}
    for source in _templates():
        text = files.text(source)
        for word, value in words.items():
            text = text.replace(word, value)
        parts = source.relative_to(_FILES).parts
        target = new.joinpath(*(re.sub("^dot-", ".", part) for part in parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _templates() -> Iterator[Path]:
    found = (path for path in sorted(_FILES.rglob("*")) if path.is_file())
    return (path for path in found if path.parent.name != "__pycache__")  # as pip leaves it


def _into_git(folder: Path) -> None:
    """Ready for the first commit; in a repository that is there already, its owner adds it."""
    inside = ("git", "-C", folder.parent, "rev-parse", "--is-inside-work-tree")
    if process.run(inside, timeout=_GIT_SECONDS, check=False).stdout.strip() == "true":
        return
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["-c", "core.excludesFile=", "add", "--all"],
    ):
        process.run(["git", "-C", folder, *words], timeout=_GIT_SECONDS, error=ConfigurationError)
