"""What an image is made of: `recipe.yaml`, parsed once into frozen dataclasses.

All problems of a file are reported together, each with its key path. Paths in a recipe are
relative to its folder and must exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness import files, plugins, schema
from harness.errors import ConfigurationError
from harness.product import promises
from harness.product.keys import NAME, Keys
from harness.product.promises import Promises
from harness.product.release import Release

FILE = "recipe.yaml"
# One date for everything that is built: content decides, not the day (reproducible-builds.org).
EPOCH = 1700000000
DEVELOPMENT: Literal["development"] = "development"
_DAY = 86_400  # seconds
# Seconds that a version on trial has to become well, unless a recipe says otherwise: a modem needs
# up to two minutes from its power to its first packet; one more, for a link that loses some.
DEADLINE = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The package base: everything that comes from Debian. Its hash names the cached base."""

    suite: str
    architecture: str
    packages: tuple[str, ...]
    extract: tuple[str, ...] = ()  # packages that are only unpacked: firmware
    components: tuple[str, ...] = ("main",)
    security: str = "required"  # required | preferred | off
    prune: tuple[str, ...] = ()  # path patterns (fnmatch) that are not wanted in the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Kernel modules: kept in the slot, and loaded by the initramfs ("name option=value").

    `devicetree` is below the package's folder of devicetrees; `compression` what to do with a
    kernel that its package leaves uncompressed.
    """

    modules: tuple[str, ...] = ()
    initramfs: tuple[str, ...] = ()
    devicetree: str = ""
    compression: str = "none"  # none | gzip


@dataclass(frozen=True, slots=True, kw_only=True)
class UBoot:
    """U-Boot from Debian's source package: harness.builders.debian.bootloaders.uboot."""

    source: str  # source package
    defconfig: str
    compiler: str  # prefix of the cross compiler's programs
    folder: Path  # config, environment.txt, board.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk: MBR signature (8 hex digits), sizes in bytes, compression of the slot."""

    signature: str
    slot_size: int
    data_size: int
    compression: str = "gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who may log in; `authorized_key` None means the development key."""

    root_password_hash: str
    authorized_key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The signer of update artifacts and the keyring that devices trust (PEM files)."""

    certificate: Path
    key: Path
    keyring: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority (PEM files)."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When a version is well: units that are active, within `deadline` seconds."""

    services: tuple[str, ...] = ()
    deadline: int = DEADLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A change on top of the recipe: folders laid over, paths removed."""

    overlay: Path | None = None
    boot: Path | None = None
    initramfs: Path | None = None
    u_boot: Path | None = None
    remove: tuple[str, ...] = ()
    promises: Mapping[str, Any] = field(default_factory=dict)  # instead of its recipe's


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A machine's recipe. `folder` holds recipe.yaml and everything it names."""

    folder: Path
    machine: str
    compatible: str
    client: str
    bootloader: str
    base: Base
    kernel: Kernel
    disk: Disk
    login: Login
    health: Health
    overlay: tuple[Path, ...]  # folders: later ones win
    boot: tuple[Path, ...]
    initramfs: tuple[Path, ...]
    u_boot: UBoot | None = None
    boot_files: Mapping[str, str] = field(default_factory=dict)  # name -> path in the base
    state_scripts: Path | None = None  # Mender's, in the update artifact
    signing: Signing | None = None
    # Of the update server's certificate, beside those that Debian trusts.
    server_ca: Authority | Literal["development"] | None = None
    enable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    promises: Promises = field(default_factory=Promises)
    variants: Mapping[str, Variant] = field(default_factory=dict)

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
            found = replace(found, **each.promises)
        return found

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


def of(release: Release) -> Recipe:
    """A release's recipe as it is on this machine now; ConfigurationError when it is not there."""
    return load(release.recipe_folder)


def load(folder: Path) -> Recipe:
    """Parse `folder`/recipe.yaml; raises ConfigurationError with all of its problems."""
    path = folder / FILE
    hint = "a recipe is a folder that holds recipe.yaml"
    content = schema.yaml_data(files.text(path, limit=schema.YAML_LIMIT, hint=hint), what=path)
    problems: list[str] = []
    recipe = _recipe(folder, Keys(content, "", folder, problems))
    if problems:
        raise ConfigurationError.of(files.shown(path), problems)
    return recipe


# What becomes part of a file on the device or of a signed manifest can begin nothing new there.
_PACKAGE = r"[a-z0-9][a-z0-9+.:-]+"
_COMPATIBLE = r"[A-Za-z0-9](?:[A-Za-z0-9 ._+:/()-]{0,98}[A-Za-z0-9)])?"
_UNIT = r"[A-Za-z0-9_@:.\\-]+"
_MODULE = r"[A-Za-z0-9][\w-]*"
_PATH = r"/[^\x00-\x1f\x7f]+"


def _recipe(folder: Path, keys: Keys) -> Recipe:
    recipe = Recipe(
        folder=folder,
        machine=keys.text("machine", pattern=NAME),
        compatible=keys.text("compatible", pattern=_COMPATIBLE),
        client=keys.text("client", allowed=plugins.names(plugins.ARTIFACTS)),
        bootloader=keys.text("bootloader", allowed=plugins.names(plugins.BOOTLOADERS)),
        base=_base(keys.section("base")),
        kernel=_kernel(keys.section("kernel")),
        disk=_disk(keys.section("disk")),
        login=_login(keys.section("login")),
        health=_health(keys.section("health")),
        signing=_signing(keys),
        server_ca=_server_ca(keys),
        overlay=keys.folders("overlay"),
        boot=keys.folders("boot"),
        initramfs=keys.folders("initramfs"),
        u_boot=_u_boot(keys),
        boot_files=keys.names("boot_files", of=r"[A-Za-z0-9][\w.-]*", pattern=_PATH),
        state_scripts=keys.folder("state_scripts") if keys.peek("state_scripts") else None,
        enable=keys.texts("enable", pattern=_UNIT),
        mask=keys.texts("mask", pattern=_UNIT),
        promises=Promises(**promises.named(keys)),
        variants={
            name: _variant(section) for name, section in keys.sections("variants", of=NAME).items()
        },
    )
    keys.finish()
    return recipe


def _base(keys: Keys) -> Base:
    base = Base(
        suite=keys.text("suite", pattern=r"[a-z]+"),
        architecture=keys.text("architecture", pattern=r"[a-z0-9]+"),
        packages=keys.texts("packages", pattern=_PACKAGE),
        extract=keys.texts("extract", pattern=_PACKAGE),
        components=keys.texts("components", pattern=r"[a-z-]+") or ("main",),
        security=keys.text(
            "security", default="required", allowed=("required", "preferred", "off")
        ),
        prune=keys.texts("prune", pattern=_PATH),
    )
    keys.finish()
    return base


def _kernel(keys: Keys) -> Kernel:
    kernel = Kernel(
        modules=keys.texts("modules", pattern=_MODULE),
        initramfs=keys.texts("initramfs", pattern=_MODULE + r"( [\w.-]+=[!-~]+)*"),
        devicetree=keys.text("devicetree", default="", pattern=r"([\w./-]+\.dtb)?"),
        compression=keys.text("compression", default="none", allowed=("none", "gzip")),
    )
    keys.finish()
    return kernel


def _u_boot(keys: Keys) -> UBoot | None:
    if keys.peek("bootloader") != "u-boot":
        return None
    section = keys.section("u-boot")
    u_boot = UBoot(
        source=section.text("source", pattern=_PACKAGE),
        defconfig=section.text("defconfig", pattern=r"\w+_defconfig"),
        compiler=section.text("compiler", pattern=r"[\w-]*"),
        folder=section.folder("folder"),
    )
    section.finish()
    return u_boot


def _disk(keys: Keys) -> Disk:
    disk = Disk(
        signature=keys.text("signature", pattern=r"[0-9a-f]{8}"),
        slot_size=keys.size("slot_size"),
        data_size=keys.size("data_size"),
        compression=keys.text("compression", default="gzip", allowed=("gzip", "lzo", "xz", "zstd")),
    )
    keys.finish()
    return disk


def _login(keys: Keys) -> Login:
    chosen = keys.text("authorized_key", default=DEVELOPMENT)
    login = Login(
        root_password_hash=keys.text("root_password_hash", pattern=r"\$[^:\s]+"),
        authorized_key=None if chosen == DEVELOPMENT else keys.file("authorized_key"),
    )
    keys.finish()
    return login


def _health(keys: Keys) -> Health:
    health = Health(
        services=keys.texts("services", pattern=_UNIT),
        deadline=keys.number("deadline", default=DEADLINE, most=_DAY),
    )
    keys.finish()
    return health


def _signing(keys: Keys) -> Signing | None:
    if keys.peek("signing") in (None, DEVELOPMENT):
        keys.used("signing")
        return None
    section = keys.section("signing")
    signing = Signing(
        certificate=section.file("certificate"),
        key=section.file("key"),
        keyring=section.file("keyring"),
    )
    section.finish()
    return signing


def _server_ca(keys: Keys) -> Authority | Literal["development"] | None:
    if keys.peek("server_ca") in (None, DEVELOPMENT):
        keys.used("server_ca")
        return DEVELOPMENT if keys.peek("server_ca") else None
    section = keys.section("server_ca")
    authority = Authority(certificate=section.file("certificate"), key=section.file("key"))
    section.finish()
    return authority


def _variant(keys: Keys) -> Variant:
    variant = Variant(
        overlay=keys.folder("overlay") if keys.peek("overlay") else None,
        boot=keys.folder("boot") if keys.peek("boot") else None,
        initramfs=keys.folder("initramfs") if keys.peek("initramfs") else None,
        u_boot=keys.folder("u-boot") if keys.peek("u-boot") else None,
        remove=keys.texts("remove", pattern=_PATH),
        promises=promises.named(keys),
    )
    keys.finish()
    return variant
