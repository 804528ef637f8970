"""One tree of errors: each kind is something another person acts on, and has its own exit code.

Nothing below the command line exits or prints; it raises one of these, and `harness.cli` turns
it into a message and an exit code. An exception that is not in this tree is a bug in the harness
(exit code 1).
"""

from collections.abc import Mapping, Sequence

from harness.plain import plain


class HarnessError(Exception):
    """An expected failure: what went wrong, the details, and what to do about it.

    `brief` is one sentence that names the file, key, step or board; `details` is free text
    (a command's last lines, a list of problems); `hint` says what to do next. Much of that is the
    text of others: it is kept without credentials and without what steers a terminal.
    """

    exit_code = 1
    kind = "error"

    def __init__(self, brief: str, *, details: str = "", hint: str = "") -> None:
        self.brief, self.details, self.hint = plain(brief), plain(details), plain(hint)
        super().__init__(self.brief)

    def __str__(self) -> str:
        parts = [self.brief, self.details, f"hint: {self.hint}" if self.hint else ""]
        return "\n".join(part for part in parts if part)


class ConfigurationError(HarnessError):
    """The user's input is wrong: a recipe, a lab file, a policy, a path; all problems at once."""

    exit_code = 2
    kind = "configuration error"

    @classmethod
    def of(cls, what: str, problems: Sequence[str], *, hint: str = "") -> "ConfigurationError":
        """One error for all `problems` found in `what` (a file); each names its key path."""
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        return cls(f"{what}: {count}", details="\n".join(f"  - {p}" for p in problems), hint=hint)


class BuildError(HarnessError):
    """A recipe that parses but cannot be built: no such package, slot too small, tool failed."""

    exit_code = 2
    kind = "build error"


class LabError(HarnessError):
    """The bench is at fault (no QEMU, no serial, medium server gone); the run may be repeated."""

    exit_code = 3
    kind = "lab error"


class DeviceError(HarnessError):
    """The product is at fault; never retried."""

    exit_code = 4
    kind = "device failure"


class IdentityChanged(DeviceError):
    """The device is another one than before: its SSH host key is not the one that it had."""


class PromotionError(HarnessError):
    """The gate refuses, or the release repository cannot take the promotion."""

    exit_code = 5
    kind = "promotion refused"


KINDS: tuple[type[HarnessError], ...] = (
    HarnessError,
    ConfigurationError,
    BuildError,
    DeviceError,
    PromotionError,
    LabError,
)


EVENT = "error"  # by which a command line tells, with `to_data`, what it ends with (`--events`)


def to_data(error: HarnessError) -> dict[str, str]:
    """An error in JSON, as one process tells it another; what is more than its kind is lost."""
    parts = {"brief": error.brief, "details": error.details, "hint": error.hint}
    return {"kind": error.kind, **parts}


def of_data(data: Mapping[str, str], *, where: str = "") -> HarnessError:
    """The error that `to_data` told; `where`: in which process. KeyError or StopIteration for what
    is none."""
    kind = next(each for each in KINDS if each.kind == data["kind"])
    brief = f"{where}: {data['brief']}" if where else data["brief"]
    return kind(brief, details=data["details"], hint=data["hint"])
