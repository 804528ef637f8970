"""Puts one variant of a design through its scenarios: built, adopted, run, explored, stored.

Each step is a process of its own, as a person would type it, in the design's folder. What is there
is used again: images whose inputs are the same, and verdicts about them; so a run that was ended
goes on where it was.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import files, paths, process
from harness.deadline import Deadline
from harness.designs import exploring, results
from harness.designs.design import BUILD, NEW, NEWER, OLD, OUT, Design, DesignVariant
from harness.designs.results import DesignResults, ScenarioResult, VariantResult
from harness.errors import BuildError, ConfigurationError, DeviceError, HarnessError, LabError
from harness.evidence import signing, store
from harness.evidence.store import Stored
from harness.log import step
from harness.medium.files import copy_file
from harness.product import release as releases
from harness.scenarios import children
from harness.scenarios.children import Job, Tell

_BUILD_SECONDS = 3600
_AT_ONCE = 4  # scenarios of one process, which share a booted board; between them time is looked at
_STAMP, _PACKAGES = "inputs", "packages.txt"


@dataclass(frozen=True, kw_only=True)
class DesignRun:
    """One variant of a design, for at most `budget` seconds after it was built (0: to the end);
    `only`: of its scenarios these, and no other; `again`: those with a verdict, too."""

    design: Design
    variant: str
    budget: float
    tell: Tell
    only: tuple[str, ...] = ()
    again: bool = False
    explore: bool = True
    program: Sequence[str | Path] = children.HARNESS

    def run(self) -> VariantResult:
        """All of it; stored after each step. Errors are those of building and adopting, of a lab
        in which nothing can be judged, and of input; a device that fails is a finding."""
        self._asked()
        made = self._prepared()
        limit = Deadline(self.budget) if self.budget else None
        left = self.left(made)
        with contextlib.chdir(self.design.folder):
            while left and not (limit and limit.over):  # each is tried once
                batch, left = left[:_AT_ONCE], left[_AT_ONCE:]
                made = self._keep(self._stored(made, batch))
            if self.explore:
                made = self._explored(made, limit)
        return self._keep(made)

    @property
    def _of(self) -> DesignVariant:
        if self.variant not in self.design.variants:
            raise ConfigurationError(
                f"{self.design.name} has no variant '{self.variant}'",
                hint=f"it has {', '.join(self.design.variants)}",
            )
        return self.design.variants[self.variant]

    def _asked(self) -> tuple[str, ...]:
        """The scenarios that are to be run, in the design's order."""
        wanted = self._of.scenarios or self.design.scenarios
        if strange := [name for name in self.only if name not in wanted]:
            raise ConfigurationError(
                f"{self.design.name}, {self.variant} has no scenario '{strange[0]}'",
                hint=f"design.yaml names {', '.join(wanted)}",
            )
        return tuple(name for name in wanted if not self.only or name in self.only)

    def _keep(self, made: VariantResult) -> VariantResult:
        told = {each.scenario for each in made.scenarios} | made.left_out.keys()
        wanted = self.design.wanted(self.variant)
        made = replace(made, waiting=tuple(name for name in wanted if name not in told))
        found = results.load(self.design.folder)
        results.save(self.design.folder, found.with_variant(self.variant, made))
        return made

    def left(self, made: VariantResult) -> tuple[str, ...]:
        """Scenarios that are to be run: without a verdict (lab trouble is none), and, where they
        are asked for again, those with one; of these the oldest verdict first."""
        done = {each.scenario: each.finished for each in made.judged}
        new = tuple(name for name in self._asked() if name not in {*done, *made.left_out})
        known = [name for name in self._asked() if name in done] if self.again else []
        return (*new, *sorted(known, key=lambda name: done[name]))

    def _prepared(self) -> VariantResult:
        """Images of these inputs, and what is known about them."""
        variant, out = self._of, self.design.folder / OUT
        key = _public_key()
        inputs = self.design.inputs(variant)
        stamp = f"{self.variant} {inputs} {files.text(key)}"
        if not files.is_file(out / _STAMP) or files.text(out / _STAMP) != stamp:
            shutil.rmtree(out, ignore_errors=True)
            files.make_folder(out)
            files.write_whole(out / _STAMP, stamp.encode())
        for version, broken in self._versions().items():
            if not files.is_file(out / version / releases.FILE):  # it is written last
                self._build(variant, version, broken, key)
        packages = files.text(out / _PACKAGES)
        digest = releases.digest(out / _PACKAGES).sha256
        known = _known(results.load(self.design.folder), self.variant, inputs, digest)
        return known or VariantResult(
            inputs=inputs,
            harness="unknown",
            packages=_versions(packages, self.design.packages),
            packages_sha256=digest,
            accelerator="unknown",
        )

    def _versions(self) -> dict[str, str]:
        """Those that are needed, and what is broken in each."""
        bad = not self.only or any(name.startswith("bad-update") for name in self.only)
        return {OLD: "", NEW: "", **(self.design.broken if bad else {})}

    def _build(self, variant: DesignVariant, version: str, broken: str, key: Path) -> None:
        folder, out = self.design.folder, self.design.folder / OUT
        built, made = out / f"built-{version}", out / version
        for left in (built, made):
            shutil.rmtree(left, ignore_errors=True)
        words: list[str | Path] = ["--version", version, "--ssh-key", key, *variant.build]
        words += ["--break", broken] if broken else []
        with step("build design", design=self.design.name, version=version, broken=broken):
            process.run(
                [folder / BUILD, *words, built],
                timeout=_BUILD_SECONDS,
                error=BuildError,
                log=out / f"build-{version}.log",
            )
        for kept in (_PACKAGES, *self.design.keeps):
            copy_file(built / kept, out / kept)
        job: list[str | Path] = ["adopt", built / "disk.img"]
        job += ["--artifact", built / self.design.artifact, "--version", version]
        job += ["--product", folder / variant.profile, "-o", made, "--json"]
        job += ["--variant", broken] if broken else []
        with contextlib.chdir(folder):
            self._child(f"adopt {version}", job)
        shutil.rmtree(built)

    def _child(self, name: str, words: Sequence[str | Path]) -> str:
        """A command's answer; raises what it ended with, unless that is a verdict."""
        job = Job(name=name, words=tuple(words))
        [ended] = children.run_all([job], tell=self.tell, program=self.program)
        error = ended.error()
        if error and not (ended.answer and isinstance(error, DeviceError | LabError)):
            raise error
        return ended.answer

    def _stored(self, made: VariantResult, scenarios: Sequence[str]) -> VariantResult:
        """With the verdicts of these scenarios."""
        words = [word for name in scenarios for word in ("--scenario", name)]
        words += ["--board", self.design.board, "--lab", "lab.yaml", "--store", f"{OUT}/evidence"]
        answer = self._child(
            self.design.name, ["test", f"{OUT}/{NEW}", "--from", f"{OUT}/{OLD}", *words, "--json"]
        )
        run = store.load(Path(json.loads(answer)["folder"]), [signing.load_signer().public_key])
        header, found = run.evidence.header, run.evidence.records
        told = {each.scenario: each for each in made.scenarios}
        told |= {each.scenario: ScenarioResult.of(each) for each in found}
        left_out = {**made.left_out, **header.left_out}
        silent = {name: "no record of it" for name in scenarios if name not in {*told, *left_out}}
        return replace(
            made,
            harness=_commit(run),
            accelerator=", ".join(sorted({*header.accelerators.values()})) or "unknown",
            scenarios=tuple(told[name] for name in sorted(told)),
            left_out={**left_out, **silent},
        )

    def _explored(self, made: VariantResult, limit: Deadline | None) -> VariantResult:
        """With the cut points of the recorded update, as far as the budget goes."""
        if limit and limit.left() < exploring.LEAST:
            return replace(made, not_explored=made.not_explored or "the budget was used up before")
        try:
            exploration = exploring.DesignExploration(
                design=self.design, child=self._child, newer=self._newer()
            )
            return replace(made, explored=exploration.made(limit), not_explored="")
        except HarnessError as error:
            return replace(made, not_explored=error.brief)

    def _newer(self) -> str:
        """The version that is installed after each cut, built; none where the old one can be."""
        out = self.design.folder / OUT
        if releases.load(out / OLD).product.promises.downgrades != "refused":
            return ""
        if not files.is_file(out / NEWER / releases.FILE):
            self._build(self._of, NEWER, "", _public_key())
        return NEWER


def _known(found: DesignResults, variant: str, inputs: str, packages: str) -> VariantResult | None:
    """What is known of the same images."""
    known = found.variants.get(variant)
    same = known and (known.inputs, known.packages_sha256) == (inputs, packages)
    return known if same else None


def _versions(packages: str, wanted: Sequence[str]) -> dict[str, str]:
    """Of the packages that decide, from lines of name, version, architecture."""
    told = dict(line.split()[:2] for line in packages.splitlines() if len(line.split()) >= 2)
    return {name: told.get(name, "not in it") for name in wanted}


def _commit(run: Stored) -> str:
    """The harness's."""
    told = run.evidence.header.tools.get("harness")
    return str(told.get("commit") or "unknown")[:12] if isinstance(told, dict) else "unknown"


def _public_key() -> Path:
    """By which the harness logs in; made where there is none."""
    key = paths.ssh_key()
    if not key.exists():
        files.make_folder(key.parent, mode=0o700)
        process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], timeout=60)
    return key.with_name(f"{key.name}.pub")


def stored(design: Design) -> Iterator[tuple[str, VariantResult | None]]:
    """Each variant of a design, and what is stored of it."""
    found = results.load(design.folder).variants
    for name in design.variants:
        yield name, found.get(name)
