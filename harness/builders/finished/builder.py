"""Releases of finished images (`harness adopt`): read, held against each other, described.

Nothing is built here, and nothing of an image is changed. What takes building (a bad version, a
signature) can only be had where the product's own images are: product.yaml names them
(`variants`).
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from harness import files
from harness.artifacts import payload
from harness.builders.builder import Ability, Authority
from harness.builders.finished import built
from harness.errors import ConfigurationError
from harness.product import release as releases
from harness.product.profile import Profile as RECIPE
from harness.product.release import FILE, Release

__all__ = [
    "RECIPE",
    "again",
    "artifact",
    "build",
    "lacks",
    "misdirected_artifact",
    "payload",
    "server_ca",
    "strange_artifact",
    "variants",
]

_OTHERS = "its images were built by others"
_TAKEN = (Ability.NEWER, Ability.ARTIFACT, Ability.STRANGER, Ability.MISDIRECTED, Ability.AUTHORITY)


def build(
    source: Path, *, version: str, variants: Sequence[str] = (), output: Path | None = None
) -> Release:
    """Refuses: there is nothing to build of."""
    raise ConfigurationError(
        f"{files.shown(source)}: finished images are not built",
        hint="harness adopt IMAGE --artifact FILE --product product.yaml --version V -o FOLDER",
    )


def lacks(release: Release) -> Mapping[Ability, str]:
    """What takes building; bad versions are there as far as the profile names them."""
    return lacking(built.of(release).folders)


def lacking(folders: Mapping[str, Path]) -> Mapping[Ability, str]:
    """The same, of a product whose bad versions are, or will be, releases in these folders."""
    found = dict.fromkeys(_TAKEN, _OTHERS)
    if not there(folders):
        found[Ability.AGAIN] = f"{_OTHERS}, and product.yaml names no variants"
    return found


def variants(release: Release) -> Collection[str]:
    """Those that the profile names and that have been adopted."""
    return there(built.of(release).folders)


def there(folders: Mapping[str, Path]) -> list[str]:
    """The bad versions that have been adopted."""
    return [name for name, folder in folders.items() if (folder / FILE).exists()]


def again(
    release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
) -> Release:
    """The adopted release of a variant. Its version is what it was adopted as, and so is who signed
    it: `follows` asks for nothing, as a profile knows no successor of a product's signer."""
    return adopted(release, built.of(release).folders, version=version, variants=variants)


def adopted(
    release: Release, folders: Mapping[str, Path], *, version: str, variants: Sequence[str]
) -> Release:
    """The same, where bad versions are in these folders."""
    wanted = (*release.variants, *variants)
    if not variants or wanted == release.variants:
        raise ConfigurationError(f"{release.machine}: {_OTHERS}: there is no version {version}")
    folder = folders.get("+".join(variants))
    if folder is None or not (folder / FILE).exists():
        raise ConfigurationError(f"{release.machine}: {_OTHERS}: no {'+'.join(variants)} is here")
    found = releases.load(folder)
    if (found.machine, found.product, found.layout) != (
        release.machine,
        release.product,
        release.layout,
    ):
        raise ConfigurationError(
            f"{files.shown(folder)}: is a release of another product than {release.folder}",
            hint="adopt both with the same product.yaml",
        )
    if found.variants != wanted:
        raise ConfigurationError(
            f"{files.shown(folder)}: was adopted as {', '.join(found.variants) or 'no variant'}",
            hint=f"adopt it with {' '.join(f'--variant {each}' for each in wanted)}",
        )
    return found


def artifact(release: Release, content: Path, output: Path, *, version: str) -> Path:
    """Refuses: who built the images has the key."""
    raise ConfigurationError(f"{release.machine}: {_OTHERS}")


def strange_artifact(release: Release, output: Path) -> Path:
    """Refuses."""
    raise ConfigurationError(f"{release.machine}: {_OTHERS}")


def misdirected_artifact(release: Release, output: Path) -> Path:
    """Refuses."""
    raise ConfigurationError(f"{release.machine}: {_OTHERS}")


def server_ca(release: Release) -> Authority:
    """Refuses."""
    raise ConfigurationError(f"{release.machine}: {_OTHERS}")
