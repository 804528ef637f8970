"""Versions of releases: which can be ordered, and how. Debian's order, as dpkg has it
(deb-version(7)): 1.2.0~rc1 before 1.2.0 before 1.2.0-1 before 1.10.0.
"""

import functools
import re

from harness import process
from harness.errors import ConfigurationError

RULE = "begin with a digit, go on with 0-9 a-z . + ~ -, do not end with -, at most 64 characters"
# At most 64 characters: a version is the name of a folder, and part of longer names.
PATTERN = r"(?!.{65})[0-9][0-9a-z.+~]*(-[0-9a-z.+~]+)*"
_SECONDS = 20


def problem(version: str) -> str:
    """Why a version cannot be ordered, or be the name of anything; empty when it can."""
    if re.fullmatch(PATTERN, version):
        return ""
    return f"{version!r} is no version: {RULE}"


def is_newer(version: str, than: str) -> bool:
    """Whether `version` is later than `than`. ConfigurationError when one cannot be ordered."""
    return _compared(version, "gt", than)


def is_same(version: str, other: str) -> bool:
    """Whether neither is later, as 1.0 and 1.00. ConfigurationError when one cannot be ordered."""
    return _compared(version, "eq", other)


def _order(version: str, other: str) -> int:
    return is_newer(version, other) - is_newer(other, version)


key = functools.cmp_to_key(_order)  # to sort by


@functools.lru_cache(maxsize=4096)
def _compared(version: str, relation: str, other: str) -> bool:
    for each in (version, other):
        if told := problem(each):
            raise ConfigurationError(told)
    argv = ["dpkg", "--compare-versions", version, relation, other]
    done = process.run(argv, timeout=_SECONDS, check=False)
    if done.returncode not in (0, 1) or done.stderr:
        raise ConfigurationError(f"dpkg cannot order {version} and {other}", details=done.stderr)
    return done.returncode == 0
