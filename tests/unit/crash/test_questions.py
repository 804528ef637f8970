"""The digest of what a boot is asked covers all that the boot stands on."""

from pathlib import Path

import pytest

from harness.crash.exploration import questions

HARNESS = Path(questions.__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "judge/judge.py",
            "judge/oracle.py",
            "crash/exploration/prove.py",
            "crash/recording/log.py",
        ),
        *("deadline.py", "process.py", "updates/server.py", "artifacts/rauc.py"),
        "boards/qemu/nbd/plugin.py",
        *("boards/qemu/raspi4b.dtso", "clients/mender.py"),
    ],
)
def test_what_a_boot_stands_on_is_in_it(name: str) -> None:
    assert HARNESS / name in questions._files()


def test_what_comes_after_a_boot_is_not() -> None:
    others = {path.relative_to(HARNESS).parts[0] for path in questions._files()}
    assert not others & {"promotion", "evidence", "commands", "cli.py"}
    assert HARNESS / "crash/results/report.py" not in questions._files()
