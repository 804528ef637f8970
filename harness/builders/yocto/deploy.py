"""A deploy folder (tmp/deploy/images/MACHINE): which of its files are one build of one image.

Read are files, never BitBake: `IMAGE.testdata.json` holds every variable of the image's recipe
(rootfs-postcommands.bbclass), and all other files of the image are called as its IMAGE_LINK_NAME
says. A build leaves files of older ones beside its own; links lead to the newest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files, schema
from harness.builders.yocto import environment
from harness.errors import ConfigurationError
from harness.fields import FILE_NAME, LINE
from harness.product.layout import Region

TOLD = ".testdata.json"
DISKS = (".wic", ".sdimg", ".uefiimg", ".gptimg", ".biosimg")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
# Of a file system that a slot can be (image_types.bbclass).
SLOT = r"(squashfs|erofs)(-[a-z0-9]+)?|ext[234]|btrfs|f2fs"
ARTIFACTS = {"mender": ".mender", "rauc": ".raucb"}  # client -> ending

_HINT = "a deploy folder is BitBake's tmp/deploy/images/MACHINE, after the image was built"
_VARIABLES = {  # that are read, and what they must be
    "MACHINE": FILE_NAME,
    "DISTRO": FILE_NAME,
    "DISTRO_VERSION": LINE,
    "IMAGE_BASENAME": FILE_NAME,
    "IMAGE_LINK_NAME": FILE_NAME,
    "IMAGE_NAME": FILE_NAME,
}
EPOCHS = ("REPRODUCIBLE_TIMESTAMP_ROOTFS", "SOURCE_DATE_EPOCH")
_NO_TIME = 1 << 32  # seconds: what a squashfs cannot hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """One build of one image; `epoch` is 0 when it does not say."""

    folder: Path
    machine: str
    distro: str
    distro_version: str
    image: str  # its recipe
    stem: str  # how all its files are called
    epoch: int
    disk: Path
    artifact: Path
    slots: Sequence[Path]
    manifest: Path
    block_map: Path | None
    spdx: Path | None
    copies: tuple[Region, ...]


def read(
    folder: Path,
    *,
    client: str,
    boot_selection: str = "",
    image: str = "",
    artifact: Path | None = None,
) -> Deploy:
    """Find the files of a build: of `image` where there are several. `client` says what its update
    artifact is, if `artifact` does not name the file; a `boot_selection` of U-Boot's in raw sectors
    may be told where it is. Raises ConfigurationError for what is missing, doubled, empty, or leads
    out of the folder."""
    names = {path.name: path for path in files.entries(folder)}
    told, stem = _image(folder, names, image)
    disk = _one(
        folder, [names[stem + end] for end in DISKS if stem + end in names], _disk(names, stem)
    )
    slots = [
        path for name, path in names.items() if re.fullmatch(re.escape(stem) + rf"\.({SLOT})", name)
    ]
    problems = []
    if not slots:
        problems.append(_no_slot(names, stem))
    if f"{stem}.manifest" not in names:
        problems.append(f"{stem}.manifest: missing")
    if problems:
        raise ConfigurationError.of(files.shown(folder), problems, hint=_HINT)
    found = Deploy(
        folder=folder,
        machine=told["MACHINE"],
        distro=told["DISTRO"],
        distro_version=told["DISTRO_VERSION"],
        image=told["IMAGE_BASENAME"],
        stem=stem,
        epoch=_epoch(names[stem + TOLD], told),
        disk=disk,
        artifact=artifact or _artifact(folder, names, stem, client),
        slots=slots,
        manifest=names[f"{stem}.manifest"],
        block_map=names.get(f"{disk.name}.bmap"),
        spdx=names.get(f"{stem}.spdx.json"),
        copies=environment.copies(names) if boot_selection == "u-boot" else (),
    )
    _require_inside(found, [names[each] for each in environment.NAMES if each in names])
    return found


def _image(folder: Path, names: dict[str, Path], wanted: str) -> tuple[dict[str, str], str]:
    """The variables of the image, and how its files are called."""
    told = {name.removesuffix(TOLD): path for name, path in names.items() if name.endswith(TOLD)}
    if not told:
        raise ConfigurationError(f"{files.shown(folder)}: has no IMAGE{TOLD}", hint=_HINT)
    # Others are of older builds, where links say which is the newest.
    linked = {stem: path for stem, path in told.items() if path.is_symlink()}
    told = {wanted: told[wanted]} if wanted in told else linked or told
    found = {stem: _variables(path) for stem, path in told.items()}
    # Without links (a copy) a file is called as IMAGE_NAME says.
    newest = {
        stem: each for stem, each in found.items() if stem in (each["IMAGE_LINK_NAME"], wanted)
    } or {stem: each for stem, each in found.items() if stem == each["IMAGE_NAME"]}
    chosen = {
        stem: each
        for stem, each in newest.items()
        if not wanted or wanted in (stem, each["IMAGE_BASENAME"])
    }
    if len(chosen) == 1:
        [(stem, variables)] = chosen.items()
        return variables, stem
    if chosen or not wanted:
        what = f"several images: {', '.join(sorted(newest))}" if newest else "no image: all renamed"
        raise ConfigurationError(f"{files.shown(folder)}: {what}", hint="--image names one of them")
    raise ConfigurationError(
        f"{files.shown(folder)}: no image {files.shown(wanted)}",
        hint=f"it has {', '.join(sorted(newest))}",
    )


def _variables(path: Path) -> dict[str, str]:
    data = schema.json_data(files.text(path, hint=_HINT), what=path, hint=_HINT)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{files.shown(path)}: must be one object", hint=_HINT)
    problems = []
    for name, pattern in _VARIABLES.items():
        value = data.get(name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            problems.append(f"{name}: must be there, and match {pattern}")
    if problems:
        raise ConfigurationError.of(files.shown(path), problems, hint=_HINT)
    wanted = (*_VARIABLES, *EPOCHS)
    return {name: str(data[name]) for name in wanted if data.get(name) is not None}


def _epoch(path: Path, told: dict[str, str]) -> int:
    """No file of the image is younger: what its files' times are set to."""
    for name in EPOCHS:
        if value := told.get(name):
            if not re.fullmatch(r"[1-9][0-9]{0,9}", value) or int(value) >= _NO_TIME:
                problem = f"{name}: '{value[:40]}' is no number of seconds"
                raise ConfigurationError.of(files.shown(path), [problem])
            return int(value)
    return 0


def _disk(names: dict[str, Path], stem: str) -> str:
    packed = [stem + end + more for end in DISKS for more in PACKED if stem + end + more in names]
    if packed:
        return (
            f"{packed[0]} is packed: add its type without the ending to IMAGE_FSTYPES, or unpack it"
        )
    return f"{stem}.wic or {stem}.sdimg: missing: the disk that a device is flashed with"


def _no_slot(names: dict[str, Path], stem: str) -> str:
    packed = rf"{re.escape(stem)}\.({SLOT})({'|'.join(map(re.escape, PACKED))})"
    for name in names:
        if re.fullmatch(packed, name):
            return (
                f"{name} is packed: add its type without the ending to IMAGE_FSTYPES, or unpack it"
            )
    return f"{stem}.squashfs or {stem}.ext4: missing: what slot A was made of"


def _artifact(folder: Path, names: dict[str, Path], stem: str, client: str) -> Path:
    ending = ARTIFACTS.get(client)
    if ending is None:
        raise ConfigurationError(
            f"{files.shown(folder)}: nobody knows how artifacts for {client} are called",
            hint="--artifact names the file",
        )
    if stem + ending in names:  # the image's own
        return names[stem + ending]
    fits = {path.resolve(): path for name, path in names.items() if name.endswith(ending)}
    # Others are of older builds, where links say which is the newest.
    fits = {real: path for real, path in fits.items() if path.is_symlink()} or fits
    return _one(folder, list(fits.values()), f"*{ending}: missing: the update artifact")


def _one(folder: Path, found: Sequence[Path], missing: str) -> Path:
    if len(found) == 1:
        return found[0]
    problem = missing
    hint = _HINT
    if found:
        problem = (
            f"{' and '.join(each.name for each in found)}: only one of them can be the product's"
        )
        hint = "move the others out of the folder, or name an artifact with --artifact"
    raise ConfigurationError.of(files.shown(folder), [problem], hint=hint)


def _require_inside(found: Deploy, more: Sequence[Path]) -> None:
    """Files of the build's own folder: what leads out of it, or nowhere, is another one's. None of
    them is empty. `more`: that were read already."""
    there = found.folder.resolve()
    inside = [found.folder / (found.stem + TOLD), found.disk, *found.slots, found.manifest, *more]
    inside += [each for each in (found.block_map, found.spdx) if each]
    if found.artifact.parent == found.folder:
        inside.append(found.artifact)
    problems = []
    for path in inside:
        if not files.is_file(path):
            problems.append(f"{path.name}: missing: it is no file, or a link that leads to none")
        elif there not in path.resolve().parents:
            problems.append(f"{path.name}: leads out of the folder, to {path.resolve()}")
        elif not path.stat().st_size:
            problems.append(f"{path.name}: is empty")
    if problems:
        raise ConfigurationError.of(files.shown(found.folder), problems, hint=_HINT)
