"""Functions of ./run, with stand-ins for what takes long."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A virtual bench that ends as the real one does when it is told to, and a test that ends as asked.
_HARNESS = """#!/bin/bash
if [ "$1" = lab ]; then
    trap 'kill $!; echo ended >ended; exit 130' TERM
    echo "use it with: --lab $3"
    sleep 60 &
    wait
fi
echo "$*" >asked
exit "$CODE"
"""


@pytest.mark.parametrize(
    ("qemu", "bench", "compare", "code"),
    [
        (0, 0, 0, 0),
        (0, 3, 0, 3),
        (0, 3, 4, 4),
        (4, 3, 3, 4),
        (4, 0, 0, 4),
        (3, 4, 0, 4),
        (1, 4, 0, 1),
    ],
)
def test_a_night_goes_on_whatever_fails_and_ends_as_the_worst_of_it(
    qemu: int, bench: int, compare: int, code: int
) -> None:
    done = night(
        f"scenarios() {{ echo qemu; return {qemu}; }}; has_bench() {{ :; }};"
        f"on_a_bench() ( echo bench; exit {bench} );"
        f"bench_beside_qemu() {{ echo compare; return {compare}; }}"
    )
    assert (done.stdout.split(), done.returncode) == (["qemu", "bench", "compare"], code)


def test_without_a_bench_nothing_is_compared() -> None:
    done = night(
        "scenarios() { echo qemu; }; has_bench() { return 1; }; on_a_bench() { echo bench; };"
        "bench_beside_qemu() { echo compare; return 2; }"
    )
    assert (done.stdout.split(), done.returncode) == (["qemu"], 0)


def night(stand_ins: str) -> subprocess.CompletedProcess[str]:
    """The nightly, whose parts are stood in for."""
    begin = "source <(sed '/^case /,$d' run); setup() { :; }; fuzz() { :; }; designs() { :; };"
    begin += "deployed() { :; }; releases() { :; };"
    end = "set -- nightly; source <(sed -n '/^case /,$p' run)"
    return subprocess.run(
        ["bash", "-c", f"{begin} {stand_ins}; {end}", ROOT / "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("code", [0, 3])
def test_the_step_on_a_bench_ends_as_its_scenarios_do(tmp_path: Path, code: int) -> None:
    for name in ("run", "harness/system.sh", "harness/prerequisites"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/harness").write_text(_HARNESS)
    (tmp_path / "bin/harness").chmod(0o755)
    (tmp_path / "build/ci").mkdir(parents=True)
    script = "source <(sed '/^case /,$d' run); on_a_bench ci; echo went on"
    done = subprocess.run(
        ["bash", "-c", script, tmp_path / "run"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "CODE": str(code),
            "CI": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("went on" in done.stdout) is (code == 0)
    assert (tmp_path / "ended").exists()
    assert "aim bytes:50%@before-write" in (tmp_path / "asked").read_text()
