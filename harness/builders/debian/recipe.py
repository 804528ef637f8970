"""What an image is made of: `recipe.yaml`, parsed once into frozen dataclasses.

All problems of a file are reported together, each with its key path. Paths in a recipe are
relative to its folder and must exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from harness import files, plugins, schema
from harness.builders.builder import Authority
from harness.errors import ConfigurationError
from harness.fields import (
    ExistingFile,
    ExistingFolder,
    ExistingFolders,
    Hex32,
    Like,
    MiB,
    Name,
    OneOf,
)
from harness.product.promises import Changed, Promises

FILE = "recipe.yaml"
# One date for everything that is built: content decides, not the day (reproducible-builds.org).
EPOCH = 1700000000
DEVELOPMENT: Literal["development"] = "development"
_DAY = 86_400  # seconds
# Seconds that a version on trial has to become well, unless a recipe says otherwise: a modem needs
# up to two minutes from its power to its first packet; one more, for a link that loses some.
DEADLINE = 180

# What becomes part of a file on the device or of a signed manifest can begin nothing new there.
_Package = Annotated[str, Like(r"[a-z0-9][a-z0-9+.:-]+")]
_Compatible = Annotated[str, Like(r"[A-Za-z0-9](?:[A-Za-z0-9 ._+:/()-]{0,98}[A-Za-z0-9)])?")]
_Unit = Annotated[str, Like(r"[A-Za-z0-9_@:.\\-]+")]
_Module = Annotated[str, Like(r"[A-Za-z0-9][\w-]*")]
_Loaded = Annotated[str, Like(r"[A-Za-z0-9][\w-]*( [\w.-]+=[!-~]+)*")]
_Path = Annotated[str, Like(r"/[^\x00-\x1f\x7f]+")]
_Word = Annotated[str, Like(r"[a-z]+")]
_ByDevelopment = Discriminator(lambda found: "[word]" if found == DEVELOPMENT else "[other]")
_Development = Annotated[Literal["development"], Tag("[word]")]  # the key that the harness makes


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBase:
    """The package base: everything that comes from Debian. Its hash names the cached base."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    suite: _Word
    architecture: Annotated[str, Like(r"[a-z0-9]+")]
    packages: tuple[_Package, ...] = ()
    extract: tuple[_Package, ...] = ()  # packages that are only unpacked: firmware
    components: Annotated[tuple[Annotated[str, Like(r"[a-z-]+")], ...], Field(min_length=1)] = (
        "main",
    )
    security: Literal["required", "preferred", "off"] = "required"
    prune: tuple[_Path, ...] = ()  # path patterns (fnmatch) that are not wanted in the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Kernel modules: kept in the slot, and loaded by the initramfs ("name option=value").

    `devicetree` is below the package's folder of devicetrees; `compression` what to do with a
    kernel that its package leaves uncompressed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    modules: tuple[_Module, ...] = ()
    initramfs: tuple[_Loaded, ...] = ()
    devicetree: Annotated[str, Like(r"([\w./-]+\.dtb)?")] = ""
    compression: Literal["none", "gzip"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class UBoot:
    """U-Boot from Debian's source package: harness.builders.debian.bootloaders.uboot."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    source: _Package  # source package
    defconfig: Annotated[str, Like(r"\w+_defconfig")]
    compiler: Annotated[str, Like(r"[\w-]*")]  # prefix of the cross compiler's programs
    folder: ExistingFolder  # config, environment.txt, board.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk: MBR signature (8 hex digits), sizes in bytes, compression of the slot."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    signature: Hex32
    slot_size: MiB
    data_size: MiB
    compression: Literal["gzip", "lzo", "xz", "zstd"] = "gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who may log in: by password on the console, by key over SSH."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    root_password_hash: Annotated[str, Like(r"\$[^:\s]+")]
    authorized_key: Annotated[
        Annotated[ExistingFile, Tag("[other]")] | _Development, _ByDevelopment
    ] = DEVELOPMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The signer of update artifacts and the keyring that devices trust (PEM files); those of a
    version with a `successor` trust that one's keyring instead."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    certificate: ExistingFile
    key: ExistingFile
    keyring: ExistingFile


_Signer = Annotated[Annotated[Signing, Tag("[other]")] | _Development, _ByDevelopment]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """When a version is well: units that are active, within `deadline` seconds."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    services: tuple[_Unit, ...] = ()
    deadline: Annotated[int, Field(ge=1, le=_DAY)] = DEADLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A change on top of the recipe: folders laid over, paths removed."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    overlay: ExistingFolder | None = None
    boot: ExistingFolder | None = None
    initramfs: ExistingFolder | None = None
    u_boot: Annotated[ExistingFolder | None, Field(alias="u-boot")] = None
    remove: tuple[_Path, ...] = ()
    successor: _Signer | None = None
    promises: Changed = field(default_factory=Changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFile:
    """recipe.yaml: a machine, and what its images are made of."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    machine: Name
    compatible: _Compatible
    client: Annotated[str, OneOf(lambda: plugins.names(plugins.ARTIFACTS))]
    bootloader: Annotated[str, OneOf(lambda: plugins.names(plugins.BOOTLOADERS))]
    base: PackageBase
    kernel: Kernel
    disk: Disk
    login: Login
    health: HealthCheck
    overlay: ExistingFolders  # later ones win
    boot: ExistingFolders
    initramfs: ExistingFolders
    u_boot: Annotated[UBoot | None, Field(alias="u-boot")] = None
    # name -> path in the base
    boot_files: Mapping[Annotated[str, Like(r"[A-Za-z0-9][\w.-]*")], _Path] = field(
        default_factory=dict
    )
    state_scripts: ExistingFolder | None = None  # Mender's, in the update artifact
    signing: _Signer = DEVELOPMENT
    successor: _Signer | None = None  # who signs what the devices of this version install
    # Of the update server's certificate, beside those that Debian trusts.
    server_ca: (
        Annotated[Annotated[Authority, Tag("[other]")] | _Development, _ByDevelopment] | None
    ) = None
    enable: tuple[_Unit, ...] = ()
    mask: tuple[_Unit, ...] = ()
    promises: Promises = field(default_factory=Promises)
    variants: Mapping[Name, Variant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(RecipeFile):
    """A machine's recipe. `folder` holds recipe.yaml and everything it names."""

    folder: Path

    @property
    def outside(self) -> list[Path]:
        """The folders of the recipe that are not below its own: shared with other machines."""
        named = [*self.overlay, *self.boot, *self.initramfs]
        for each in self.variants.values():
            laid = (each.overlay, each.boot, each.initramfs, each.u_boot)
            named += [folder for folder in laid if folder]
        named += [self.u_boot.folder] if self.u_boot else []
        named += [self.state_scripts] if self.state_scripts else []
        inside = self.folder.resolve()
        return [folder for folder in named if not folder.resolve().is_relative_to(inside)]

    def promised(self, variants: Sequence[Variant]) -> Promises:
        """What is promised with these variants, of which the later ones win."""
        found = self.promises
        for each in variants:
            changes: dict[str, Any] = {**each.promises}
            found = replace(found, **changes)
        return found

    def succeeded_by(self, variants: Sequence[Variant]) -> _Signer | None:
        """Who signs after the recipe's signer, with these variants."""
        return next(
            (each.successor for each in reversed(variants) if each.successor), self.successor
        )

    def chosen(self, names: Sequence[str]) -> list[Variant]:
        """The variants called `names`, in that order; ConfigurationError names unknown ones."""
        unknown = [name for name in names if name not in self.variants]
        if unknown:
            raise ConfigurationError.of(
                str(self.folder / FILE),
                [f"variants: there is no variant '{name}'" for name in unknown],
                hint=f"known variants: {', '.join(sorted(self.variants)) or 'none'}",
            )
        return [self.variants[name] for name in names]


def load(folder: Path) -> Recipe:
    """Parse `folder`/recipe.yaml; raises ConfigurationError with all of its problems."""
    path = folder / FILE
    hint = "a recipe is a folder that holds recipe.yaml"
    text = files.text(path, limit=schema.YAML_LIMIT, hint=hint)
    found = schema.from_yaml(RecipeFile, text, what=path, context=folder)
    recipe = Recipe(
        folder=folder, **{each.name: getattr(found, each.name) for each in fields(found)}
    )
    if problems := list(_misfits(recipe)):
        raise ConfigurationError.of(files.shown(path), problems)
    return recipe


def _misfits(recipe: Recipe) -> Iterator[str]:
    """What does not go with each other."""
    if recipe.bootloader == "u-boot" and recipe.u_boot is None:
        yield "u-boot: missing"
    elif recipe.bootloader != "u-boot" and recipe.u_boot:
        yield f"u-boot: is of no use to {recipe.bootloader}"
    handed_over = {
        f"variants.{name}.successor": recipe.promised([each])
        for name, each in recipe.variants.items()
        if each.successor
    }
    handed_over |= {"successor": recipe.promises} if recipe.successor else {}
    for key, promised in handed_over.items():
        if promised.downgrades == "allowed":
            yield (
                f"{key}: what was signed before is refused by its devices: promises.downgrades "
                "must say so"
            )
