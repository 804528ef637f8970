"""A bench for promotions: a real release repository, a store, a key, and one tested release."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence import signing
from harness.evidence.record import Record
from harness.evidence.store import EvidenceStore, Stored
from harness.evidence.subject import Digests, Subject
from harness.product.release import load
from harness.promotion.promote import Promotion, promote
from harness.promotion.starter import StarterPolicy, init_repository
from tests.unit.evidence.samples import finished_run, make_release, record

CUTS = [f"power-cut[{n}/none]" for n in range(3)]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """Everything in a work tree, as somebody."""
    git(folder, "add", "--all")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(folder, *author, "commit", "--quiet", "--message", message)


def starter(signer: CryptoSigner, *, partial: bool = True) -> StarterPolicy:
    """A policy that asks for `update` and two power cuts, signed by `signer`."""
    return StarterPolicy(
        public_pem=signing.public_pem(signer),
        machines=["legacy-gateway", "rpi4"],
        scenarios=["update"],
        matching={"power-cut[*]": 2},
        partial=partial,
    )


@dataclass
class Bench:
    folder: Path
    signer: CryptoSigner
    repository: Path  # bare, freshly made

    def __post_init__(self) -> None:
        self.store = EvidenceStore(self.folder / "store")
        self.known: list[Subject] = []  # what a board may run before

    def init(self, name: str, *, bare: bool, partial: bool = True) -> Path:
        """Another new release repository."""
        policy = starter(self.signer, partial=partial)
        init_repository(self.folder / name, policy, bare=bare)
        return self.folder / name

    def release(self, version: str = "1.1.0", machine: str = "legacy-gateway") -> Path:
        """A release without any evidence."""
        folder = self.folder / f"{machine}-{version}"
        self.known.append(make_release(folder, version=version, machine=machine))
        return folder

    def good(self, version: str = "1.1.0", machine: str = "legacy-gateway") -> Path:
        """A release with all the evidence that the policy asks for: from a release that was never
        promoted, and from all that are here."""
        before = [self.old(machine), *(each for each in self.known if each.machine == machine)]
        folder = self.release(version, machine)
        for old in before:
            records = [record(name, machine=machine) for name in ["update", *CUTS]]
            self.test(folder, records, old=old)
        return folder

    def old(self, machine: str = "legacy-gateway") -> Subject:
        """A release that no ring has."""
        digests = Digests(release="1" * 64, disk="2" * 64, artifact="3" * 64, slot="4" * 64)
        return Subject(machine=machine, version="0.9.0", digests=digests)

    def test(
        self,
        release: Path,
        records: Iterable[Record],
        signer: CryptoSigner | None = None,
        **header: Any,
    ) -> Stored:
        subject = Subject.of(load(release))
        start = header.pop("old", self.old(subject.machine))
        return finished_run(
            self.store, subject, records, signer or self.signer, from_release=start, **header
        )

    def begin(self, release: Path, *records: Record) -> Path:
        """A run that was never finished; returns its folder."""
        subject = Subject.of(load(release))
        run = self.store.begin(subject, from_release=None, board="b", lab="l", tools={})
        for each in records:
            run.add(each)
        return run.folder

    def change(self, change: Callable[[Path], object]) -> None:
        """One more commit, in which files are others."""
        work = self.folder / f"work-{self.commits()}"
        git(self.folder, "clone", "--quiet", str(self.repository), str(work))
        change(work)
        commit(work, "another one")
        git(work, "push", "--quiet")

    def change_policy(self, change: Callable[[dict[str, Any]], object]) -> None:
        """One more commit, in which policy.yaml is another one."""

        def changed(work: Path) -> None:
            file = work / "policy.yaml"
            policy = yaml.safe_load(file.read_text())
            change(policy)
            file.write_text(yaml.safe_dump(policy))

        self.change(changed)

    def promote(self, release: Path, ring: str = "canary", **more: bool) -> Promotion:
        return self.promote_all(release, ring=ring, **more)

    def promote_all(self, *releases: Path, ring: str = "canary", **more: bool) -> Promotion:
        return promote(*releases, ring=ring, repo=str(self.repository), store=self.store, **more)

    def ring(self, name: str = "canary") -> str:
        return git(self.repository, "show", f"main:rings/{name}.yaml")

    def commits(self) -> int:
        return int(git(self.repository, "rev-list", "--count", "main"))


@pytest.fixture(autouse=True)
def _git_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of whoever runs the tests, and nothing of a git hook they run in."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CryptoSigner]:
    """A bare release repository to copy, and the key that it trusts."""
    signer = CryptoSigner.generate_ed25519()
    path = tmp_path_factory.mktemp("made") / "releases.git"
    init_repository(path, starter(signer), bare=True)
    return path, signer


@pytest.fixture
def bench(tmp_path: Path, made: tuple[Path, CryptoSigner], _git_of_its_own: None) -> Bench:
    template, signer = made
    repository = shutil.copytree(template, tmp_path / "releases.git")
    return Bench(folder=tmp_path, signer=signer, repository=repository)


class _AskForPassword(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="releases"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def https_asking_for_a_password() -> Iterator[str]:
    """URL of a git server that wants a password (plain HTTP: git asks in the same way)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _AskForPassword)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/releases.git"
    server.shutdown()
    thread.join()
    server.server_close()
