"""kas, by its command line (kas 5): what a project is, and building it.

BitBake's server leaves kas' session, and would go on after Ctrl-C; it is ended by the process id in
its own lock file. Nothing here knows what is built.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files, process
from harness.errors import BuildError, ConfigurationError
from harness.fields import LINE
from harness.log import progress

BUILT = Path("tmp/deploy/images")  # below a build folder, and then the machine's
_OFFLINE = ("setup_dir", "repos_checkout", "finish_setup_repos")  # a description needs no copies
_LOOK = 0.5  # seconds between two looks at the log
_PATIENCE = 30.0  # seconds for tasks under way, after Ctrl-C
_LAST_LINES = 30
_TASK = re.compile(r"Running (?:setscene )?task (\d+) of (\d+)")
_FAILED = re.compile(r"ERROR: Logfile of failure stored in: (\S+)")
_ERROR = re.compile(r"^.*\bERROR: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where a project is built: repositories in `work`, everything else in `build`."""

    work: Path
    build: Path
    log: Path  # all that kas and BitBake print


def program() -> str:
    """The kas to call: that of this Python environment, or the one on PATH."""
    beside = Path(sys.executable).with_name("kas")
    found = shutil.which("kas") or (str(beside) if beside.exists() else "")
    if not found:
        raise ConfigurationError("there is no kas here", hint="pip install 'harness[yocto]'")
    return found


def describe(project: str) -> Mapping[str, Any]:
    """What a project's files, includes and locks come to. `project`: files with colons between.
    Raises ConfigurationError in kas' own words."""
    for each in project.split(":"):
        if not re.fullmatch(LINE, each):
            raise ConfigurationError(f"{files.shown(project)}: names of files, with : between them")
        with files.opened(Path(each)):
            pass
    skipped = [word for step in _OFFLINE for word in ("--skip", step)]
    with tempfile.TemporaryDirectory(prefix="harness-kas-") as work:
        done = process.run(
            [program(), "-l", "error", "dump", "--format", "json", *skipped, project],
            timeout=120,
            env={"KAS_WORK_DIR": work},
            check=False,
        )
    with contextlib.suppress(ValueError):
        found = json.loads(done.stdout) if done.returncode == 0 else None
        if isinstance(found, dict) and isinstance(found.get("repos"), dict):
            return found
        if found:
            raise ConfigurationError(f"{project}: repos: missing: nothing is built of it")
    told = (done.stderr or done.stdout).strip().splitlines() or ["says nothing"]
    raise ConfigurationError(f"{project}: kas cannot read it", details="\n".join(told[-5:]))


def root(project: str) -> Path:
    """The folder that a project's paths are relative to, as kas finds it: of its first file, the
    work tree that it is in, or its own folder."""
    folder = Path(project.split(":", maxsplit=1)[0]).resolve().parent
    asked: list[str | Path] = ["git", "-C", folder, "rev-parse", "--show-toplevel"]
    done = process.run(asked, timeout=30, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else folder


def build(project: str, folders: Folders, env: Mapping[str, str]) -> None:
    """Fetch, and build the project's targets; BitBake's tasks are shown as progress.

    Raises BuildError with the log of the recipe that failed. Ctrl-C ends kas and BitBake's server.
    """
    for folder in (folders.work, folders.build, folders.log.parent):
        files.make_folder(folder)
    folders.log.unlink(missing_ok=True)
    settings = {
        **env,
        "KAS_WORK_DIR": str(folders.work.resolve()),
        "KAS_BUILD_DIR": str(folders.build.resolve()),
    }
    argv = ["env", "--default-signal=INT", program(), "--no-color", "build", project]
    running = process.start(argv, log=folders.log, env=settings)
    try:
        for done, total in _tasks(running, folders.log):
            progress("bitbake", done, total)
    finally:
        _end(running, folders.build)
    if running.returncode:
        raise _failure(argv[2:], running.returncode, folders.log)


def _tasks(running: "subprocess.Popen[bytes]", log: Path) -> Iterator[tuple[int, int]]:
    """(task, of how many), whenever the log says so, until the process ends."""
    with log.open("rb") as stream:
        ended = False
        while not ended:
            ended = running.poll() is not None
            text = stream.read().decode(errors="replace")
            if found := _TASK.findall(text):
                yield int(found[-1][0]), int(found[-1][1])
            if not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(_LOOK)


def _end(running: "subprocess.Popen[bytes]", build: Path) -> None:
    """Nothing of a build goes on: BitBake is asked, once to finish its tasks, once to drop them."""
    for patience in (_PATIENCE, _PATIENCE / 3):
        if running.poll() is None:
            process.interrupt_group(running)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(patience)
    process.kill_group(running)
    _end_server(build / "bitbake.lock")


def _end_server(lock: Path) -> None:
    """The server that has written its process id there, if it is one, and still runs."""
    with contextlib.suppress(OSError, ValueError):
        found = int(lock.read_text(encoding="utf-8").split()[0])
        for how in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(20):
                if b"bitbake" not in Path(f"/proc/{found}/cmdline").read_bytes():
                    return
                os.kill(found, how)
                time.sleep(_LOOK)


def _failure(argv: list[str], code: int, log: Path) -> BuildError:
    text = log.read_text(encoding="utf-8", errors="replace")
    hint = f"the whole log is {files.shown(log)}"
    for told in reversed(_FAILED.findall(text)):
        with contextlib.suppress(OSError):
            lines = Path(told).read_text(encoding="utf-8", errors="replace").splitlines()
            task = Path(told).name.removeprefix("log.").rpartition(".")[0]
            recipe = Path(told).parents[2].name if len(Path(told).parents) > 2 else "a recipe"
            return BuildError(
                f"{recipe}: {task} failed",
                details="\n".join([told, *("  " + line for line in lines[-_LAST_LINES:])]),
                hint=hint,
            )
    said = _ERROR.findall(text)[:10] or text.strip().splitlines()[-5:] or ["says nothing"]
    return BuildError(f"kas failed: exit code {code}", details="\n".join(said), hint=hint)
