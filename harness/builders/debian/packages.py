"""The package base of an image: everything Debian, made by mmdebstrap, as one tar.

The mirrors are those of the host's own apt configuration, so no address is written down here: the
base works wherever the host can install packages, on Debian 12 as on 13. initramfs-tools never
runs; the initramfs is ours (harness.builders.debian.initramfs).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import process
from harness.builders.debian.recipe import PackageBase
from harness.builders.debian.tree import Tree
from harness.errors import BuildError

TIMEOUT = 3600  # seconds; a slow machine runs a foreign architecture's scripts, beside other work

# Left out while unpacking: never needed in an image, and a third of the time.
_EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/share/bash-completion/*",
    "/usr/lib/udev/hwdb.d/*",
    "/lib/udev/hwdb.d/*",
    # The kernel's hook that would make an initramfs.
    "/etc/kernel/postinst.d/*",
    # Whole families of drivers that a headless machine does not have.
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/sound/*",
)

EXTRACTED = "/var/lib/dpkg/extracted"  # `name version` lines of packages that were only unpacked
_SHOWN = "${Package} ${Version}\\n"

# Everything of this module that shapes a base: part of its hash.
RULES = _EXCLUDED

_HOST_OPTIONS = re.compile(r"Acquire::(https?|Check-Valid-Until|Check-Date|Retries)\b.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One line of apt's sources: archive address, suite, components, keyring."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str

    def __str__(self) -> str:
        signed = f"[signed-by={self.keyring}] " if self.keyring else ""
        return f"deb {signed}{self.uri} {self.suite} {' '.join(self.components)}"


def make(base: PackageBase, output: Path, *, log: Path, epoch: int) -> tuple[str, ...]:
    """Write the base's tar to `output`; returns the suites it was made from.

    Raises BuildError that names packages which do not exist, or shows mmdebstrap's last lines.
    """
    require_architecture(base.architecture)
    wanted = sources(base)
    try:
        _mmdebstrap(base, wanted, output, log=log, epoch=epoch)
    except BuildError as error:
        if base.security != "preferred" or not unavailable(_text(log), "security"):
            raise _explained(error, log) from error
        log.rename(log.with_suffix(".security.log"))
        wanted = [s for s in wanted if "security" not in s.suite]
        try:
            _mmdebstrap(base, wanted, output, log=log, epoch=epoch)
        except BuildError as again:
            raise _explained(again, log) from again
    return tuple(source.suite for source in wanted)


def require_architecture(architecture: str) -> None:
    """Packages are configured by running them: BuildError when this host cannot."""
    argv = ["arch-test", architecture]
    if process.run(argv, timeout=30, error=BuildError, check=False).returncode != 0:
        raise BuildError(
            f"base.architecture: this machine cannot run programs for {architecture}",
            hint="`harness setup --install` registers qemu-user-static with binfmt_misc",
        )


def sources(base: PackageBase) -> list[AptSource]:
    """Where a base's packages come from."""
    found = host_sources(base.suite)
    return [
        replace(source, components=base.components)
        for source in found
        if base.security != "off" or "security" not in source.suite
    ]


def host_sources(suite: str) -> list[AptSource]:
    """The host's Debian archives, asked for `suite`, its updates and its security fixes."""
    host = _host_suite()
    listed = process.run(
        [
            *("apt-get", "indextargets", "--format"),
            "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)",
            "Created-By: Packages",
        ],
        timeout=60,
        error=BuildError,
    ).stdout
    sources = translate(listed.splitlines(), host, suite)
    if not any(source.suite == suite for source in sources):
        raise BuildError(
            f"apt knows no Debian archive for {suite}",
            details=f"apt-get indextargets lists:\n{listed}",
            hint="the host needs a Debian source in /etc/apt, and one `apt-get update`",
        )
    return sources


def translate(lines: list[str], host: str, suite: str) -> list[AptSource]:
    """Turn `uri|release|component|keyring` lines of a `host` release into those of `suite`."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    found: dict[tuple[str, str], AptSource] = {}
    for line in lines:
        uri, release, component, signed = line.split("|", 3)
        if release not in {host, f"{host}-updates", f"{host}-security"} or component != "main":
            continue
        signed = signed if signed.startswith("/") else keyring
        renamed = suite + release.removeprefix(host)
        found[uri, renamed] = AptSource(
            uri=uri, suite=renamed, components=("main",), keyring=signed
        )
    return list(found.values())


def package_list(tree: Tree) -> str:
    """`name version` lines of what is installed, from dpkg's status file."""
    name, lines = "", []
    for line in tree.read("/var/lib/dpkg/status").decode().splitlines():
        key, _, value = line.partition(": ")
        name = value if key == "Package" else name
        if key == "Version":
            lines.append(f"{name} {value}\n")
    if EXTRACTED in tree:
        lines += tree.read(EXTRACTED).decode().splitlines(keepends=True)
    return "".join(sorted(lines))


def missing_packages(log: str) -> list[str]:
    """The packages that apt did not find, from its messages."""
    patterns = (
        r"^E: Unable to locate package (\S+)",
        r"^E: Package '?([^'\s]+)'? has no installation candidate",
        r"^E: Couldn't find any package by (?:glob|regex) '([^']+)'",
    )
    found = [name for pattern in patterns for name in re.findall(pattern, log, re.MULTILINE)]
    return sorted(set(found))


def unavailable(log: str, archive: str) -> bool:
    """Whether apt could not fetch an index of `archive` (a mirror that is out of step)."""
    failed = re.findall(r"^E: Failed to fetch (\S+/dists/\S+)", log, re.MULTILINE)
    return bool(failed) and all(archive in address for address in failed)


def _mmdebstrap(
    base: PackageBase, sources: list[AptSource], output: Path, *, log: Path, epoch: int
) -> None:
    listing = output.with_suffix(".list")
    listing.write_text("".join(f"{source}\n" for source in sources), encoding="utf-8")
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    options += [f"--aptopt={option}" for option in _host_options()]
    process.run(
        [
            *("mmdebstrap", "--mode=auto", "--variant=minbase", "--format=tar"),
            f"--architectures={base.architecture}",
            '--aptopt=Apt::Install-Recommends "false"',
            *options,
            # The base is made again when this is interrupted: no need to sync each package.
            "--dpkgopt=force-unsafe-io",
            *_extraction(base.extract),
            f"--include={','.join(base.packages)}",
            base.suite,
            output,
            listing,
        ],
        timeout=TIMEOUT,
        error=BuildError,
        log=log,
        env={
            "SOURCE_DATE_EPOCH": str(epoch),
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        },
    )


def _extraction(packages: Sequence[str]) -> list[str]:
    """Packages that are unpacked and never configured: their scripts expect a running board."""
    if not packages:
        return []
    script = (
        f'cd "$1" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download {" ".join(packages)} && '
        'for deb in *.deb; do dpkg-deb -x "$deb" . && '
        f'dpkg-deb -W --showformat \'{_SHOWN}\' "$deb" >>.{EXTRACTED} && rm "$deb"; done'
    )
    return [f"--customize-hook={script}"]


def _host_options() -> list[str]:
    """The host's apt options about how to reach archives: proxies and date checks."""
    dump = process.run(
        ["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire"],
        timeout=30,
        error=BuildError,
    ).stdout
    return [line.rstrip(";") for line in dump.splitlines() if _HOST_OPTIONS.fullmatch(line)]


def _host_suite() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise BuildError(
        "/etc/os-release: no VERSION_CODENAME", hint="images are built on Debian 12 or 13"
    )


def _explained(error: BuildError, log: Path) -> BuildError:
    missing = missing_packages(_text(log))
    if not missing:
        return error
    return BuildError(
        f"base.packages: no such package: {', '.join(missing)}",
        hint="correct the name, or look for it with `apt-cache search`",
    )


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
