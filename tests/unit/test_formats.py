"""What `harness schema` tells editors: our own files fit, and what is wrong does not."""

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.commands.formats import Format
from harness.schema import yaml_data
from tests.unit.evidence.samples import make_release

ROOT = Path(__file__).parents[2]
POLICY = """
schema: 1
keys: {ci: {file: keys/ci.pem}}
rings:
  lab: {machines: [rpi4], evidence_keys: [ci], scenarios: [update], matching: {"power-cut[*]": 9}}
  fleet: {machines: [rpi4], evidence_keys: [ci], crash: {required: true}, requires_ring: lab}
"""
TYPES = {
    "string": str, "integer": int, "boolean": bool, "array": list, "object": dict,
    "null": type(None), "number": float,
}  # fmt: skip


def fits(value: Any, form: dict[str, Any], top: dict[str, Any]) -> bool:
    """As much of JSON Schema (2020-12) as ours use."""
    if "$ref" in form:
        return fits(value, top["$defs"][form["$ref"].rpartition("/")[2]], top)
    if "anyOf" in form and not any(fits(value, each, top) for each in form["anyOf"]):
        return False
    kinds = form.get("type", [])
    types = tuple(TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        return False
    if value not in form.get("enum", [value]) or value != form.get("const", value):
        return False
    if isinstance(value, dict):
        return fits_keys(value, form, top)
    below = value if isinstance(value, list) else []
    right = all(fits(each, form.get("items", {}), top) for each in below)
    return right and (not isinstance(value, str) or bool(re.search(form.get("pattern", ""), value)))


def fits_keys(value: dict[str, Any], form: dict[str, Any], top: dict[str, Any]) -> bool:
    known, patterns = form.get("properties", {}), form.get("patternProperties", {})

    def below(key: str) -> dict[str, Any] | None:
        found = [each for pattern, each in patterns.items() if re.search(pattern, key)]
        more = form.get("additionalProperties", not patterns)
        found += [more if isinstance(more, dict) else {}] if more is not False else []
        return known.get(key) or next(iter(found), None)

    forms = {key: below(key) for key in value}
    names = form.get("propertyNames", {})
    return set(form.get("required", ())) <= value.keys() and all(
        each is not None and fits(key, names, top) and fits(value[key], each, top)
        for key, each in forms.items()
    )


def written(form: Format) -> dict[str, Any]:
    words = [sys.executable, "-m", "harness", "schema", form]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def files(folder: Path) -> dict[Format, list[Any]]:
    """Files of each format."""
    make_release(folder / "release")
    recipes = sorted(ROOT.glob("images/*/recipe.yaml"))
    return {
        Format.RECIPE: [yaml_data(each.read_text(), what=each) for each in recipes],
        Format.PRODUCT: [
            yaml_data(each.read_text(), what=each)
            for each in sorted(ROOT.glob("images/designs/*/product.yaml"))
        ],
        Format.RELEASE: [json.loads((folder / "release/release.json").read_text())],
        Format.LAB: [yaml_data((ROOT / "labs/qemu.yaml").read_text(), what="l", tags=True)],
        Format.POLICY: [yaml_data(POLICY, what="p")],
        Format.PROJECT: [
            tomllib.loads((ROOT / "harness.toml").read_text()),
            tomllib.loads((ROOT / "harness/starter/files/harness.toml").read_text()),
        ],
    }


Break = Callable[[Any], object]
BROKEN: dict[Format, list[Break]] = {
    Format.RECIPE: [
        lambda data: data.pop("machine"),
        lambda data: data.update(colour="red"),
        lambda data: data.update(bootloader="lilo"),
        lambda data: data["disk"].update(slot_size="1.5M"),
        lambda data: data["variants"].update(odd={"overlai": "x"}),
        lambda data: data.update(signing="production"),
    ],
    Format.PRODUCT: [
        lambda data: data.pop("disk"),
        lambda data: data["device"].pop("well"),
        lambda data: data["slots"].update(content="hearsay"),
    ],
    Format.RELEASE: [
        lambda data: data["product"]["slots"].update(content="hearsay"),
        lambda data: data["files"].update({"../x": {"sha256": "0" * 64, "size": 1}}),
    ],
    Format.LAB: [
        lambda data: data.pop("targets"),
        lambda data: data["targets"]["gateway-qemu"]["options"].update(sloww=True),
    ],
    Format.POLICY: [
        lambda data: data["rings"].update(nowhere=data["rings"]["lab"]),
        lambda data: data["rings"]["lab"].update(scenarios="update"),
    ],
    Format.PROJECT: [lambda data: data.update(labs="x"), lambda data: data.update(lab=["x"])],
}


@pytest.mark.parametrize("form", Format)
def test_our_own_fit_and_wrong_ones_do_not(form: Format, tmp_path: Path) -> None:
    top = written(form)
    assert top["$schema"].endswith("2020-12/schema")
    for data in files(tmp_path)[form]:
        assert fits(data, top, top)
        for wrong in BROKEN[form]:
            other = copy.deepcopy(data)
            wrong(other)
            assert not fits(other, top, top)
