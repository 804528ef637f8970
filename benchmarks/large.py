"""All power-cut points of a full update with a slot of 200 MB: the headline, measured.

    .venv/bin/python benchmarks/large.py FOLDER

Builds the legacy gateway twice with 150 MB of noise in it (other noise in each version), records
the update and its rollback, explores them with two boards until every cut point is decided, and
prints what benchmarks/crash.py prints. An hour on two cores that do nothing else; run again, it
goes on where it was.
"""

import argparse
import random
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

_TREE = Path(__file__).parents[1]
_NOISE = 150_000_000  # bytes; the gateway's own files fill 55 MB of a slot
_OLD, _NEW = "1.0.0", "1.1.0"


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    run = folder / "run"
    for version in (_OLD, _NEW):
        if not (folder / version).exists():
            recipe = _recipe(folder / "images", version)
            _harness("build", recipe, "--version", version, "--output", folder / version)
    if not run.exists():
        releases = (folder / _NEW, "--from", folder / _OLD)
        _harness("crash", "record", *releases, "--board", "gateway-qemu", "--output", run)
    _harness("crash", "explore", run, "--jobs", "2", "--no-nested")
    subprocess.run([sys.executable, _TREE / "benchmarks/crash.py", run], check=True)


def _recipe(images: Path, version: str) -> Path:
    """The gateway's recipe with larger partitions and the noise of a version; its folder."""
    shutil.rmtree(images, ignore_errors=True)
    shutil.copytree(_TREE / "images", images, symlinks=True)
    folder = images / "legacy-gateway"
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["disk"] |= {"slot_size": "256M", "data_size": "512M"}
    recipe["overlay"].append("noise")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    noise = folder / "noise/usr/share/noise"
    noise.parent.mkdir(parents=True)
    noise.write_bytes(random.Random(version).randbytes(_NOISE))  # noqa: S311 - noise, no secret
    return folder


def _harness(*words: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name("harness"), *words], check=True)


if __name__ == "__main__":
    main()
