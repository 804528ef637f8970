"""The package base: which archives are asked, what apt's messages mean."""

from harness.builders.debian import packages

_LISTED = [
    "http://mirror/debian/|bookworm|main|$(SIGNED_BY)",
    "http://mirror/debian/|bookworm-updates|main|$(SIGNED_BY)",
    "http://mirror/security/|bookworm-security|main|/etc/apt/keyrings/own.gpg",
    "http://mirror/debian/|bookworm-backports|main|$(SIGNED_BY)",
    "http://mirror/debian/|bookworm|contrib|$(SIGNED_BY)",
    "http://other/tool/|stable|main|$(SIGNED_BY)",
]


def test_host_archives_for_the_recipes_suite() -> None:
    found = [str(source) for source in packages.translate(_LISTED, "bookworm", "trixie")]
    default = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert found == [
        f"deb {default} http://mirror/debian/ trixie main",
        f"deb {default} http://mirror/debian/ trixie-updates main",
        "deb [signed-by=/etc/apt/keyrings/own.gpg] http://mirror/security/ trixie-security main",
    ]


def test_missing_packages_are_named() -> None:
    log = (
        "I: downloading packages with apt...\n"
        "E: Unable to locate package no-such\n"
        "E: Package 'gone' has no installation candidate\n"
        "E: Package older has no installation candidate\n"
        "E: Couldn't find any package by glob 'no-such'\n"
    )
    assert packages.missing_packages(log) == ["gone", "no-such", "older"]
    assert packages.missing_packages("E: mmdebstrap failed to run\n") == []


def test_only_a_broken_security_archive_may_be_left_out() -> None:
    security = "E: Failed to fetch http://m/debian-security/dists/bookworm-security/x  size\n"
    other = "E: Failed to fetch http://m/debian/dists/bookworm/main/x  size\n"
    assert packages.unavailable(security, "security")
    assert not packages.unavailable(security + other, "security")
    assert not packages.unavailable("E: dpkg failed\n", "security")
