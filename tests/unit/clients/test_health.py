"""gateway-health with each machine's client hook, as they ship: what it decides, and what is left.

The update clients are fakes that write the boot selection as the real ones do.
"""

from pathlib import Path

import pytest

from harness.builders.debian import recipe
from harness.builders.debian.bootloaders.grub import environment_block
from harness.clients.boot_selection import BootSelection
from harness.clients.selection_format import selection_format
from tests.unit.clients.board import LocalBoard
from tests.unit.clients.test_u_boot_environment import FIRST, SECOND, environment

IMAGES = Path(__file__).parents[3] / "images"

RAUC = """\
#!/bin/sh
boot-selection set-state B good
"""
# `commit` as Mender 3.4 app/standalone.go: state script, then commit or roll back; a write that
# changes nothing comes before each change.
MENDER = """\
#!/bin/sh
store() {
    echo "separator 1" | fw_setenv -c $DEVICE/etc/fw_env.config -s -
    printf '%s\\n' "$@" | fw_setenv -c $DEVICE/etc/fw_env.config -s -
}
echo "mender $1" >>"$DEVICE/calls"
[ "$(fw_printenv -c $DEVICE/etc/fw_env.config upgrade_available)" = upgrade_available=1 ] || exit 2
if [ $1 = commit ] && sh $DEVICE/bin/ArtifactCommit_Enter_00; then
    store upgrade_available=0
else
    store mender_boot_part=2 mender_boot_part_hex=2 upgrade_available=0
    [ $1 = rollback ]
fi
"""
# How often services were restarted is in a file.
SYSTEMCTL = """\
#!/bin/sh
[ "$1" != show ] || exec cat "$DEVICE/restarts"
echo "systemctl $*" >>"$DEVICE/calls"
"""
# Time goes on only while somebody waits.
SLEEP = """\
#!/bin/sh
now=$(cut -d. -f1 $DEVICE/proc/uptime)
echo "$((now + $1)).50 20.0" >$DEVICE/proc/uptime
"""


class Device:
    """A device of one machine, which runs `slot`; slot B is on trial or not. `words`: what the
    bootloader says of it, unless what it has to say."""

    def __init__(
        self, folder: Path, machine: str, *, slot: str, trial: bool, words: str | None = None
    ) -> None:
        self.board = LocalBoard(folder)
        self.machine = machine
        (folder / "proc").mkdir()
        (folder / "run/lock").mkdir()
        if words is None:
            words = f"gateway.trial={int(trial and slot == 'B')} "
        (folder / "proc/cmdline").write_text(f"gateway.slot={slot} {words}root=PARTUUID=1-02\n")
        (folder / "proc/uptime").write_text("30.5 20.0\n")
        (folder / "etc/gateway").mkdir()
        self.deadline(0)
        (folder / "restarts").write_text("NRestarts=0\n")
        for script in ("client", "install"):
            self._ship(f"{machine}/overlay/usr/lib/gateway/{script}", f"lib-{script}")
        for script in ("await-health", "committed"):
            self._ship(f"common/overlay/usr/lib/gateway/{script}", f"lib-{script}")
        self._ship("common/overlay/usr/sbin/gateway-health", "gateway-health")
        self._ship(f"{machine}/overlay/usr/sbin/boot-selection", "boot-selection")
        self.board.program("systemctl", SYSTEMCTL)
        self.board.program("sleep", SLEEP)
        self.healthy()
        if machine == "rpi4":
            self._u_boot(trial=trial)
        else:
            self._grub(trial=trial)

    def _ship(self, source: str, name: str) -> None:
        text = self.board.moved((IMAGES / source).read_text())
        self.board.program(name, text.replace("/dev/console", f"{self.board.root}/console"))

    def _grub(self, *, trial: bool) -> None:
        states = ("good", "trial") if trial else ("good", "good")
        block = environment_block(order="B A" if trial else "A B", states=states)
        block = block.replace(b"B_left=3", b"B_left=2") if trial else block
        self._disk({1024 * 512: block, 1536 * 512: block})
        self.board.environment["BOOT_SELECTION_DEVICE"] = f"{self.board.root}/disk"
        self.board.program("rauc", RAUC)
        self.places = ("grub", (1024 * 512, 512), (1536 * 512, 512))

    def _u_boot(self, *, trial: bool) -> None:
        before = environment(3 if trial else 2, int(trial), 0, serial=7)
        self._disk({FIRST: environment(3 if trial else 2, int(trial), 1, serial=8), SECOND: before})
        config = (IMAGES / "rpi4/overlay/etc/fw_env.config").read_text()
        self._etc("fw_env.config", config.replace("/dev/gateway-disk", f"{self.board.root}/disk"))
        self._etc("u-boot-initial-env", "mender_boot_part=2\n")
        self.board.environment["BOOT_SELECTION_CONFIG"] = f"{self.board.root}/etc/fw_env.config"
        self.board.environment["TMPDIR"] = str(self.board.root)
        self._ship("rpi4/state-scripts/ArtifactCommit_Enter_00", "ArtifactCommit_Enter_00")
        self.board.program("mender", MENDER)
        self.places = ("u-boot", (FIRST, 64 * 1024), (SECOND, 64 * 1024))

    def _etc(self, name: str, text: str) -> None:
        (self.board.root / "etc" / name).write_text(text)

    def _disk(self, content: dict[int, bytes]) -> None:
        with (self.board.root / "disk").open("wb") as stream:
            for offset, data in content.items():
                stream.seek(offset)
                stream.write(data)
            stream.truncate(4 << 20)

    def healthy(self, code: int = 0, reason: str = "") -> None:
        """What the health checks will find."""
        self.board.program("lib-health-checks", f"#!/bin/sh\nprintf '{reason}'\nexit {code}\n")

    def deadline(self, seconds: int) -> None:
        """How long it may take to become well."""
        self._etc("gateway/health.conf", f'SERVICES=""\nDEADLINE={seconds}\n')

    def looks(self, script: str) -> None:
        """What the health checks do; `$look` counts them, `$now` is the uptime in seconds."""
        self.board.program(
            "lib-health-checks",
            "#!/bin/sh\necho >>$DEVICE/looks\nlook=$(wc -l <$DEVICE/looks)\n"
            f"now=$(cut -d. -f1 $DEVICE/proc/uptime)\n{script}\n",
        )

    @property
    def looked(self) -> int:
        """How often."""
        return (self.board.root / "looks").read_text().count("\n")

    def boot(self) -> str:
        """Run the health check once; returns what it said on the console."""
        done = self.board.run("gateway-health", timeout=20)
        assert done.returncode == 0, done.stderr
        return (self.board.root / "console").read_text()

    @property
    def selection(self) -> BootSelection:
        """From the medium; both copies are whole."""
        name, *places = self.places
        kind = selection_format(name)
        content = (self.board.root / "disk").read_bytes()
        first, second = (kind.parse(content[at : at + length]) for at, length in places)
        assert kind.redundant((first, second))
        found = kind.counting((first, second))
        assert found is not None
        return found


machines = pytest.mark.parametrize("machine", ["legacy-gateway", "rpi4"])


@machines
def test_a_version_on_trial_that_is_well_is_committed(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    assert device.boot() == "gateway-health: slot B: ok\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("B", "good/3")
    assert "reboot" not in device.board.calls()


@machines
@pytest.mark.parametrize("code", [0, 2])
def test_what_was_installed_is_kept_until_it_is_committed(
    tmp_path: Path, machine: str, code: int
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.healthy(code, "service x has failed" if code else "")
    (tmp_path / "data/updates").mkdir()
    for name in ("0123.part", "0123.etag"):
        (tmp_path / "data/updates" / name).touch()
    device.boot()
    assert any((tmp_path / "data/updates").iterdir()) is (code != 0)


@machines
@pytest.mark.parametrize("code", [1, 2])
def test_a_version_on_trial_that_is_not_well_goes(tmp_path: Path, machine: str, code: int) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.healthy(code, "service x has failed")
    assert device.boot() == "gateway-health: slot B: rolled back: service x has failed\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("A", "bad/3")
    assert device.board.calls().endswith("systemctl reboot\n")


@machines
@pytest.mark.parametrize("code", [1, 2])
def test_a_version_that_is_well_for_one_look_goes(tmp_path: Path, machine: str, code: int) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.looks(f"[ $look = 1 ] || {{ echo service x is dead; exit {code}; }}")
    assert device.boot() == "gateway-health: slot B: rolled back: service x is dead\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("A", "bad/3")


@machines
def test_it_must_be_well_for_a_while_without_a_break(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.deadline(60)
    device.looks("[ $look != 6 ]")
    assert device.boot() == "gateway-health: slot B: ok\n"
    once = 11  # once a second, for ten seconds
    assert device.looked == 6 + once * (2 if machine == "rpi4" else 1)  # Mender asks, too


@machines
def test_a_service_that_is_restarted_between_two_looks_is_not_well(
    tmp_path: Path, machine: str
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.deadline(60)
    device.looks("echo NRestarts=$((look / 4)) >$DEVICE/restarts")
    assert device.boot() == "gateway-health: slot B: rolled back: a service was restarted\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("A", "bad/3")


@machines
def test_a_modem_has_two_minutes_and_more(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.deadline(recipe.load(IMAGES / machine).health.deadline)
    device.looks("[ $now -ge $((30 + 150)) ] || { echo no answer; exit 1; }")
    assert device.boot() == "gateway-health: slot B: ok\n"


@machines
def test_what_is_committed_is_looked_at_once(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="A", trial=False)
    device.looks("exit 0")
    assert device.boot() == "gateway-health: slot A: ok\n"
    assert device.looked == 1


@machines
def test_an_update_client_that_cannot_commit_is_a_reason_to_go(
    tmp_path: Path, machine: str
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.board.program("rauc", "#!/bin/sh\nexit 1\n")
    device.board.program("mender", "#!/bin/sh\nexit 0\n")  # as when it is told to terminate
    assert "rolled back: the update client could not commit" in device.boot()
    assert (device.selection.primary, device.selection.on_trial) == ("A", None)


@machines
def test_a_rollback_that_cannot_be_written_is_left_to_the_bootloader(
    tmp_path: Path, machine: str
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.healthy(1, "service x has failed")
    for program in ("dd", "fw_setenv"):
        if machine == "rpi4" or program == "dd":
            find = 'case "$*" in *" seek="*) exit 1 ;; esac; exec /bin/dd "$@"'
            device.board.program(program, f"#!/bin/sh\n{find if program == 'dd' else 'exit 1'}\n")
    assert device.boot() == "gateway-health: slot B: not rolled back: service x has failed\n"
    assert (device.selection.primary, device.selection.on_trial) == ("B", "B")
    assert device.board.calls().endswith("systemctl reboot\n")


@machines
@pytest.mark.parametrize("code", [0, 1])
def test_what_is_committed_never_reboots_itself(tmp_path: Path, machine: str, code: int) -> None:
    device = Device(tmp_path, machine, slot="A", trial=False)
    device.healthy(code, "data partition is not mounted" if code else "")
    said = "degraded: data partition is not mounted" if code else "ok"
    assert device.boot() == f"gateway-health: slot A: {said}\n"
    assert str(device.selection.slots["A"]) == "good/3"
    assert device.board.calls() == ""


@machines
def test_a_rollback_by_the_boot_counter_is_settled(tmp_path: Path, machine: str) -> None:
    """GRUB leaves the selection to user space; U-Boot has written it, and Mender must forget."""
    device = Device(tmp_path, machine, slot="A", trial=True)
    if machine == "rpi4":  # U-Boot itself names the old one; what it could not write is put right
        device.board.run("echo bootcount=4 | fw_setenv -c /etc/fw_env.config -s -", timeout=5)
    else:
        disk = bytearray((tmp_path / "disk").read_bytes())
        (tmp_path / "disk").write_bytes(disk.replace(b"B_left=2", b"B_left=0"))
    assert device.selection.primary == "A"
    if machine == "rpi4":
        device.board.run("boot-selection select A", timeout=5)
        (tmp_path / "data/mender").mkdir()
        (tmp_path / "data/mender/gateway-pending").touch()
    assert device.boot() == "gateway-health: slot A: ok\n"
    assert (str(device.selection.slots["A"]), str(device.selection.slots["B"])) == (
        "good/3",
        "bad/3",
    )
    if machine == "rpi4":
        assert device.board.calls() == "mender rollback\n"
        assert not (tmp_path / "data/mender/gateway-pending").exists()


@machines
def test_a_torn_copy_is_repaired(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="A", trial=False)
    _, (first, length), _ = device.places
    disk = bytearray((tmp_path / "disk").read_bytes())
    disk[first + length - 100 : first + length] = b"\1" * 100
    (tmp_path / "disk").write_bytes(disk)
    assert device.boot() == "gateway-health: slot A: ok\n"
    assert device.selection.primary == "A"


@machines
def test_a_product_that_commits_first_keeps_what_is_not_well(tmp_path: Path, machine: str) -> None:
    """The variant, with each machine's hook: it looks, and it is too late."""
    assert "commits-first" in recipe.load(IMAGES / machine).variants
    [drop_in] = (IMAGES / "common/variants/commits-first").rglob("*.conf")
    [command] = [
        line.removeprefix("ExecStartPre=-")
        for line in drop_in.read_text().splitlines()
        if line.startswith("ExecStartPre=-")
    ]
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.healthy(2, "service x has failed")
    script = "usr/lib/gateway/committed"
    [taken] = (IMAGES / "common/variants/commits-first").rglob(script)
    device.board.program("lib-committed", taken.read_text())
    assert device.board.run(command, timeout=20).returncode == 0
    assert device.boot() == "gateway-health: slot B: degraded: service x has failed\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("B", "good/3")
    assert "reboot" not in device.board.calls()


GENERATOR = IMAGES / "common/overlay/usr/lib/systemd/system-generators/gateway-trial"


@pytest.mark.parametrize(
    ("words", "limited"),
    [("gateway.trial=0", False), ("gateway.trial=1", True), ("gateway.slot=A", True)],
)
def test_only_a_version_on_trial_is_left_for_slowness(
    tmp_path: Path, words: str, limited: bool
) -> None:
    """What an older bootloader does not say is taken for a trial, as it always was."""
    board = LocalBoard(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(f"root=PARTUUID=1-02 {words} panic=5\n")
    (tmp_path / "etc/gateway").mkdir()
    (tmp_path / "etc/gateway/health.conf").write_text("DEADLINE=500\n")
    board.program("generator", board.moved(GENERATOR.read_text()))
    (tmp_path / "normal").mkdir()
    assert board.run(f"generator {tmp_path}/normal", timeout=5).returncode == 0
    found = {
        str(file.relative_to(tmp_path / "normal")): file.read_text()
        for file in (tmp_path / "normal").rglob("*.conf")
    }
    names = {"multi-user.target.d/trial.conf", "gateway-health.service.d/trial.conf"}
    assert set(found) == (names if limited else set())
    assert all("\nFailureAction=reboot\n" in t or "reboot-force" in t for t in found.values())
    # Later than the health check, which would have rolled it back for good.
    assert all("Sec=680\n" in text for text in found.values())
