"""What of anybody's git configuration is let in: who they are to a server, and no program.

Git runs what a configuration names: hooks, filters, monitors of files, ways to ask and to sign. Of
all that only credential helpers and ssh are wanted, and which settings name programs is another
list with each version of git. So it begins with nothing, and a few settings are let in.
"""

import os
import re
from collections.abc import Iterable, Sequence

Setting = tuple[str, str]

# git-config(1): servers, and how to be known to them; folders of others that may be used.
_LET_IN = re.compile(r"(credential|http|url|protocol|ssh|safe)\..*|core\.sshcommand", re.DOTALL)
_LINE_ENDS = ("core.autocrlf", "core.eol")  # of files in a checkout
_FILTER = re.compile(r"(filter\..*)\.[a-z]+", re.DOTALL)
_OWN = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.alternateRefsCommand", "true"),  # the program that does nothing
    ("core.quotePath", "false"),
    ("safe.bareRepository", "all"),  # ours is one, and named by nobody else
    ("i18n.commitEncoding", "utf-8"),
    ("protocol.ext.allow", "never"),  # a URL that is a program, which url.*.insteadOf may name
)


def parsed(listed: str) -> list[Setting]:
    """Settings as `git config --list -z` tells them, in its order: the last one of a name holds."""
    pairs = (each.partition("\n") for each in listed.split("\0")[:-1])
    return [(name, value if newline else "true") for name, newline, value in pairs]


def let_in(theirs: Iterable[Setting]) -> list[Setting]:
    """The settings that hold here: of theirs those that may, and ours."""
    return [
        *(each for each in theirs if _LET_IN.fullmatch(each[0])),
        *_without_filters(theirs),
        *_OWN,
    ]


def environment(settings: Sequence[Setting]) -> dict[str, str]:
    """Variables that tell git settings, before all files (git-config(1), ENVIRONMENT)."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return found


def receiving(theirs: Iterable[Setting]) -> dict[str, str]:
    """Variables for git-receive-pack(1) in a checkout: its work tree is to be updated with its
    branch, if it is clean. Its hooks are a server's, and run."""
    theirs = list(theirs)
    ends = [each for each in theirs if each[0] in _LINE_ENDS]
    ours = [each for each in _OWN if each[0] != "core.hooksPath"]
    asked = [("receive.denyCurrentBranch", "updateInstead")]
    return environment([*ends, *_without_filters(theirs), *ours, *asked])


def _without_filters(theirs: Iterable[Setting]) -> list[Setting]:
    """What turns off each filter that they have, also those of the repository's own file."""
    names = dict.fromkeys(match[1] for name, _ in theirs if (match := _FILTER.fullmatch(name)))
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return [(f"{name}.{key}", value) for name in names for key, value in off.items()]
