"""The programs of the gateway image, as they ship, against the harness's own view of them.

Their absolute paths are moved below a folder, programs that need a real device are fakes.
"""

import contextlib
import random
import re
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.builders.debian import pki, recipe
from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.clients.grub_environment import parse as parse_environment_block
from harness.clients.rauc import RaucClient
from harness.faults.certificates import Certificate, Issuer, server_context
from harness.faults.manners import Manner, ServerFault
from harness.faults.network import NetworkFault
from harness.updates.proxy import Proxy
from harness.updates.server import UpdateServer
from tests.unit.clients.board import LocalBoard
from tests.unit.clients.test_boot_selection import block

IMAGES = Path(__file__).parents[3] / "images"
PROGRAMS = {
    name: IMAGES / folder / "overlay/usr/sbin" / name
    for name, folder in (("boot-selection", "legacy-gateway"), ("gateway-update", "common"))
}
CLIENT = IMAGES / "legacy-gateway/overlay/usr/lib/gateway"
COPIES = (1024 * 512, 1536 * 512)  # bytes, docs/architecture.md
BUNDLE = b"hsqs" + random.Random(3).randbytes(3_000_000 - 4)

# Accepts what equals the bundle, and then does what RAUC does: bad, write, primary.
RAUC = """\
#!/bin/sh
cmp -s "$2" "$DEVICE/bundle" || { echo "LastError: signature verification failed"; exit 1; }
boot-selection set-state B bad
boot-selection set-primary B
"""


@dataclass(frozen=True)
class Gateway:
    """A device in a folder, with its client and its network."""

    board: LocalBoard
    client: RaucClient
    proxy: Proxy
    server: UpdateServer
    url: str

    def copies(self) -> list[bytes]:
        disk = (self.board.root / "disk").read_bytes()
        return [disk[offset : offset + 512] for offset in COPIES]

    def install_under(self, fault: str) -> InstallResult:
        self.proxy.arm(NetworkFault.parse(fault))
        return self.client.install(self.url, timeout=60)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    board = LocalBoard(tmp_path)
    ship(board)
    (tmp_path / "bundle").write_bytes(BUNDLE)
    with UpdateServer() as server, Proxy(server.address) as proxy:
        server.add("update.raucb", tmp_path / "bundle")
        yield Gateway(board, RaucClient(board), proxy, server, proxy.url("update.raucb"))


def ship(board: LocalBoard) -> None:
    """Put the image's programs on the board, which runs version 1.0.0 in slot A."""
    for name, path in PROGRAMS.items():
        board.program(name, board.moved(path.read_text()))
    for name in ("client", "install"):
        board.program(f"lib-{name}", board.moved((CLIENT / name).read_text()))
    committed = IMAGES / "common/overlay/usr/lib/gateway/committed"
    board.program("lib-committed", board.moved(committed.read_text()))
    board.program("rauc", RAUC)
    board.program("mountpoint", "#!/bin/sh\n")
    (board.root / "run/lock").mkdir()
    (board.root / "proc").mkdir()
    (board.root / "proc/cmdline").write_text(
        "gateway.slot=A gateway.trial=0 rauc.slot=A root=PARTUUID=6a7e0001-02\n"
    )
    (board.root / "run/gateway-health").write_text("ok\n")
    (board.root / "etc/gateway").mkdir()
    (board.root / "etc/gateway/health.conf").write_text("DEADLINE=180\n")
    (board.root / "etc/gateway-release").write_text("VERSION=1.0.0\nVARIANT=\n")
    show = "gen_head=00000001\norder=A B\nA_state=good\nA_left=3\nB_state=good\nB_left=3\n"
    disk = bytearray(1024 * 1024)
    for offset in COPIES:
        disk[offset : offset + 512] = block(f"{show}gen_tail=00000001\n")
    (board.root / "disk").write_bytes(disk)
    board.environment["BOOT_SELECTION_DEVICE"] = f"{board.root}/disk"


def test_the_medium_and_the_device_say_the_same(gateway: Gateway) -> None:
    for command in ("set-state B bad", "set-primary B", "set-state B good", "reject B"):
        gateway.board.run(f"boot-selection {command}", timeout=5)
        said = gateway.client.boot_selection(timeout=5)
        assert said.copies_ok == (True, True)
        assert [parse_environment_block(copy) for copy in gateway.copies()] == [said, said]
    assert said.primary is Slot.A
    assert said.generation == 5


@pytest.mark.parametrize("manner", Manner)
def test_a_server_of_another_manner(gateway: Gateway, manner: Manner) -> None:
    gateway.server.behave(ServerFault(manner=manner))
    result = gateway.install_under("reset@1000000")
    assert result.ok, result.output
    assert gateway.proxy.struck


def test_who_asks_for_the_rest_of_any_file_gets_one_made_of_two(gateway: Gateway) -> None:
    """Control: the same client, which neither says nor looks of which file it has the beginning."""
    careless = PROGRAMS["gateway-update"].read_text()
    for careful, other in (("If-Range:", "X-None:"), ('"$(header etag)" =', '"$(begun_of)" =')):
        assert careful in careless
        careless = careless.replace(careful, other)
    gateway.board.program("gateway-update", gateway.board.moved(careless))
    gateway.server.behave(ServerFault(manner=Manner.CHANGED))
    result = gateway.client.install(gateway.url, timeout=60)
    assert not result.ok
    assert "signature verification failed" in result.output
    assert gateway.proxy.requests[-1].status == 206


@pytest.fixture
def believed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """The CA that the gateway believes, as an image has it beside Debian's."""
    root = gateway.board.root
    monkeypatch.setenv("HARNESS_HOME", str(root / "home"))
    monkeypatch.setenv("HARNESS_CACHE", str(root / "cache"))
    authority = pki.server_ca(recipe.load(IMAGES / "legacy-gateway"))
    assert authority
    gateway.board.environment["CURL_CA_BUNDLE"] = str(authority.certificate)
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "3"
    return Issuer(authority=authority, host="127.0.0.1")


REFUSED = {
    Certificate.EXPIRED: "certificate has expired",
    Certificate.FUTURE: "certificate is not yet valid",
    Certificate.STRANGER: "curl: (",  # 35 or 60, by its version
}


@pytest.mark.parametrize("certificate", Certificate)
def test_a_server_with_a_certificate(
    gateway: Gateway, believed: Issuer, certificate: Certificate
) -> None:
    result, server = install_over_tls(gateway, believed, certificate)
    assert result.ok == certificate.believed, result.output
    assert REFUSED.get(certificate, "") in result.output
    assert [each.status for each in server.log] == {
        Certificate.VALID: [200],
        Certificate.ROTATED: [200, 206],
    }.get(certificate, [])


def test_who_believes_any_certificate_is_told(gateway: Gateway, believed: Issuer) -> None:
    """Control: the same client, which does not look."""
    careless = PROGRAMS["gateway-update"].read_text().replace("curl --silent", "curl --insecure -s")
    gateway.board.program("gateway-update", gateway.board.moved(careless))
    for certificate in REFUSED:
        assert install_over_tls(gateway, believed, certificate)[0].ok
        gateway.board.run("boot-selection set-state B bad", timeout=5)


def install_over_tls(
    gateway: Gateway, issuer: Issuer, certificate: Certificate
) -> tuple[InstallResult, UpdateServer]:
    context = server_context()
    issuer.show(context, certificate)
    with UpdateServer(tls=context) as server:
        server.add("update.raucb", gateway.board.root / "bundle")
        if certificate is Certificate.ROTATED:
            server.break_off(lambda: issuer.show(context, Certificate.ROTATED))
        return gateway.client.install(server.url("update.raucb"), timeout=60), server


def test_status_of_the_shipped_program(gateway: Gateway) -> None:
    status = gateway.client.status(timeout=5)
    assert (status.version, status.slot, status.health) == ("1.0.0", "A", "ok")
    assert status.boot_selection is not None
    assert status.boot_selection.copies_ok == (True, True)


def test_a_health_check_may_take_its_time(gateway: Gateway) -> None:
    health = gateway.board.root / "run/gateway-health"
    health.unlink()
    gateway.board.program(
        "sleep",
        "#!/bin/sh\necho >>$DEVICE/slept\n[ $(wc -l <$DEVICE/slept) -lt 200 ] || "
        "echo ok >$DEVICE/run/gateway-health\n",
    )
    result = gateway.client.install(gateway.url, timeout=60)
    assert result.ok, result.output


def test_an_update_is_on_trial(gateway: Gateway) -> None:
    result = gateway.client.install(gateway.url, timeout=60)
    assert result.ok, result.output
    selection = gateway.client.boot_selection(timeout=5)
    assert (selection.primary, selection.on_trial) == ("B", "B")
    assert gateway.proxy.strikes == []


@pytest.mark.parametrize("fault", ["reset@1500000", "close@1"])
def test_a_broken_download_goes_on_where_it_was(gateway: Gateway, fault: str) -> None:
    result = gateway.install_under(fault)
    assert result.ok, result.output
    assert [r.range for r in gateway.proxy.requests] == [
        "",
        f"bytes={gateway.proxy.strikes[0].byte}-",
    ]
    assert sum(r.sent for r in gateway.proxy.requests) == len(BUNDLE)


def test_what_was_left_for_its_network_is_not_downloaded_again(gateway: Gateway) -> None:
    assert gateway.client.install(gateway.url, timeout=60).ok
    gateway.board.run("boot-selection reject B", timeout=5)
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert gateway.client.boot_selection(timeout=5).primary is Slot.B
    # Who answers 416 and shows no ETag is asked which file it is.
    assert [r.status for r in gateway.proxy.requests] == [200, 416, 206]


def test_of_what_was_left_another_file_is_downloaded(gateway: Gateway) -> None:
    assert gateway.client.install(gateway.url, timeout=60).ok
    _other(gateway)
    assert gateway.client.install(gateway.url, timeout=60).ok
    gateway.server.add("update.2", gateway.board.root / "bundle")
    assert gateway.client.install(gateway.proxy.url("update.2"), timeout=60).ok
    # Who asks for the rest of one file and gets another hangs up: how much came by then is chance.
    assert [r.sent for r in gateway.proxy.requests if not r.range] == 3 * [len(BUNDLE)]
    kept = (gateway.board.root / "data/updates").glob("*.part")
    assert [each.read_bytes() for each in kept] == [(gateway.board.root / "bundle").read_bytes()]


def test_503_is_asked_again(gateway: Gateway) -> None:
    assert gateway.install_under("status:503").ok
    assert [r.status for r in gateway.proxy.requests if r.method == "GET"] == [503, 200]


def test_a_flipped_byte_is_refused_and_the_next_try_starts_anew(gateway: Gateway) -> None:
    before = gateway.copies()
    result = gateway.install_under("flip@2999999")
    assert not result.ok
    assert result.message == "signature verification failed"
    assert gateway.copies() == before
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert [r.range for r in gateway.proxy.requests] == ["", ""]


def test_an_impossible_download_keeps_what_it_got(gateway: Gateway) -> None:
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "2"
    assert not gateway.install_under("reset@1000x2").ok
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert [r.range for r in gateway.proxy.requests] == ["", "bytes=1000-", "bytes=1000-"]


def _other(gateway: Gateway) -> bytes:
    """Another artifact of the same length, under the same name."""
    other = b"hsqs" + random.Random(4).randbytes(len(BUNDLE) - 4)
    file = gateway.board.root / "bundle"
    file.with_name("new").write_bytes(other)
    file.with_name("new").replace(file)
    return other


@pytest.mark.parametrize("fault", ["reset@1500000", "reset@2999999"])
def test_another_file_of_the_same_name_is_not_made_of_two(gateway: Gateway, fault: str) -> None:
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "1"
    assert not gateway.install_under(fault).ok
    _other(gateway)
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "3"
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert [r.status for r in gateway.proxy.requests] == [200, 200, 206, 200]


def test_a_whole_file_of_the_same_name_is_not_taken_for_another(gateway: Gateway) -> None:
    """All of it is there, from a call that was cut before it installed."""
    part = _interrupted(gateway, BUNDLE)
    assert part.stat().st_size == len(BUNDLE)
    _other(gateway)
    assert gateway.client.install(gateway.url, timeout=60).ok


def _interrupted(gateway: Gateway, content: bytes) -> Path:
    """A download that the power went out in, when `content` was there."""
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "1"
    assert not gateway.install_under(f"reset@{len(BUNDLE) - 1}").ok
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "3"
    [part] = (gateway.board.root / "data/updates").glob("*.part")
    part.write_bytes(content)
    return part


def test_a_whole_file_is_known_by_what_the_server_says(gateway: Gateway) -> None:
    _interrupted(gateway, BUNDLE)
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert [(r.method, r.status) for r in gateway.proxy.requests][1:] == [
        ("GET", 416),
        ("GET", 206),
    ]


def test_a_file_that_is_too_long_is_begun_anew(gateway: Gateway) -> None:
    _interrupted(gateway, BUNDLE + b"more")
    assert gateway.client.install(gateway.url, timeout=60).ok
    assert [r.status for r in gateway.proxy.requests][1:] == [416, 206, 200]


PORTAL = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>login\n"
PORTALS = {
    "page": PORTAL,
    "etag": PORTAL.replace("Content-L", 'ETag: "portal"\r\nContent-L'),
    "no type": PORTAL.replace("text/html", "application/octet-stream"),
    "etag, no type": PORTAL.replace("text/html", 'application/octet-stream\r\nETag: "portal"'),
    "range": PORTAL.replace(
        "200 OK", "206 Partial Content\r\nContent-Range: bytes 2400000-2400008/9"
    ),
    "cut": PORTAL.replace("Length: 9", "Length: 99"),
    "cut range": PORTAL.replace(
        "200 OK", "206 OK\r\nContent-Range: bytes 2400000-2400098/99"
    ).replace("Length: 9", "Length: 99"),
    "file": PORTAL.replace("200 OK", "416 Range Not Satisfiable\r\nContent-Range: bytes */9"),
    "as long": PORTAL.replace(
        "200 OK", "416 Range Not Satisfiable\r\nContent-Range: bytes */2400000"
    ),
    "not found": PORTAL.replace("200 OK", "404 Not Found"),
    "authentication": PORTAL.replace("200 OK", "511 Network Authentication Required"),
}
PORTALS["login"] = f"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n{PORTAL}"


@pytest.mark.parametrize("portal", PORTALS)
@pytest.mark.parametrize("times", [1, 99])
def test_a_portal_costs_nothing(gateway: Gateway, portal: str, times: int) -> None:
    """Whatever it answers, and for however long: what there was is continued when it has gone."""
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "1"
    assert not gateway.install_under("reset@2400000").ok
    gateway.board.environment["GATEWAY_UPDATE_TRIES"] = "3"
    gateway.board.program("sleep", "#!/bin/sh\n")
    with _first_answers(gateway, PORTALS[portal], times=times):
        done = gateway.client.install(gateway.url, timeout=60).ok
    assert done or times == 99
    gateway.board.program("curl", '#!/bin/sh\nexec /usr/bin/curl "$@"\n')
    assert done or gateway.client.install(gateway.url, timeout=60).ok
    asked = [r.range for r in gateway.proxy.requests if r.range != "bytes=0-511"]
    assert asked == ["", "bytes=2400000-"]


@pytest.mark.parametrize("portal", PORTALS)
def test_a_portal_s_page_is_no_artifact(gateway: Gateway, portal: str) -> None:
    gateway.board.program("sleep", "#!/bin/sh\n")
    with _first_answers(gateway, PORTALS[portal], times=1):
        assert gateway.client.install(gateway.url, timeout=60).ok


def test_a_long_file_that_is_no_artifact_is_downloaded_once(gateway: Gateway) -> None:
    (gateway.board.root / "other").write_bytes(BUNDLE[4:])
    gateway.server.add("update.2", gateway.board.root / "other")
    result = gateway.client.install(gateway.proxy.url("update.2"), timeout=60)
    assert (result.ok, result.message) == (False, "signature verification failed")
    assert len(gateway.proxy.requests) == 1


@pytest.mark.parametrize("machine", ["legacy-gateway", "rpi4"])
def test_how_an_update_begins(tmp_path: Path, machine: str) -> None:
    version = tmp_path / "version"
    version.write_text("{}")
    artifact = tmp_path / "artifact"
    with tarfile.open(artifact, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(version, "version")
    (tmp_path / "bundle").write_bytes(b"hsqs" + bytes(508))
    (tmp_path / "page").write_text("<html>")
    (tmp_path / "nothing").touch()
    client = IMAGES / machine / "overlay/usr/lib/gateway/client"
    begins = {
        name: subprocess.run([client, "begins", tmp_path / name], check=False).returncode == 0
        for name in ("bundle", "artifact", "page", "nothing")
    }
    own = "artifact" if machine == "rpi4" else "bundle"
    assert begins == {name: name == own for name in begins}


@contextlib.contextmanager
def _first_answers(gateway: Gateway, answer: str, *, times: int) -> Iterator[None]:
    """Somebody else answers `times` requests of curl: a `curl` that asks another port first."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer, args=(listening, answer), daemon=True).start()
        port = listening.getsockname()[1]
        gateway.board.program(
            "curl",
            f"""#!/bin/sh
n=$(cat $DEVICE/asked 2>/dev/null || echo 0)
echo $((n + 1)) >$DEVICE/asked
[ $n -lt {times} ] || exec /usr/bin/curl "$@"
exec /usr/bin/curl --connect-to ::127.0.0.1:{port} "$@"
""",
        )
        yield


def _answer(listening: socket.socket, answer: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer.encode())


def test_a_full_data_partition_is_not_left_full(gateway: Gateway) -> None:
    gateway.board.program(
        "curl", "#!/bin/sh\necho x >$(find $DEVICE/data/updates)/x.part; exit 23\n"
    )
    result = gateway.client.install(gateway.url, timeout=60)
    assert (result.ok, "no room" in result.output) == (False, True)
    gateway.board.program("curl", '#!/bin/sh\nexec /usr/bin/curl "$@"\n')
    assert gateway.client.install(gateway.url, timeout=60).ok


def test_the_client_that_rolls_back_once_differs_in_nothing_else() -> None:
    folder = Path("images/legacy-gateway")
    product = (folder / "overlay/usr/lib/gateway/client").read_text().splitlines()
    once = (folder / "variants/rolls-back-once/overlay/usr/lib/gateway/client").read_text()
    gone = set(product) - set(once.splitlines())
    assert gone == {'reject) exec boot-selection reject "$slot" ;;'}


def test_the_client_that_keeps_part_files_differs_in_nothing_else() -> None:
    product = Path("images/common/overlay/usr/sbin/gateway-update").read_text()
    folder = Path("images/common/variants/part-files-kept/overlay")
    kept = (folder / "usr/sbin/gateway-update").read_text().splitlines()
    gone = [line for line in product.splitlines() if line not in kept]
    assert [line.split()[0] for line in gone] == ["#", "find"]
    assert [line for line in product.splitlines() if line not in gone] == kept


def test_the_client_that_updates_on_trial_differs_in_nothing_else() -> None:
    """It leaves a line of the product's own out, which must be there."""
    product = Path("images/common/overlay/usr/sbin/gateway-update").read_text()
    folder = Path("images/common/variants/updates-on-trial/overlay")
    at_once = (folder / "usr/local/sbin/gateway-update").read_text()
    [without] = re.findall(r"'/\^(.*)\$/d'", at_once)
    assert product.splitlines().count(without) == 1


def test_names_are_asked_of_whom_the_network_names(tmp_path: Path) -> None:
    board = LocalBoard(tmp_path)
    script = (IMAGES / "common/overlay/usr/lib/gateway/resolver").read_text()
    board.program("resolver", board.moved(script))
    asked = tmp_path / "etc/resolv.conf"
    state = tmp_path / "run/systemd/netif/state"

    def becomes(text: str) -> None:
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text(f"OPER_STATE=routable\n{text}")

    assert board.run("resolver", timeout=20).returncode == 0
    assert asked.read_text() == ""
    becomes("DNS=10.0.2.3 192.0.2.1\nNTP=\n")
    # What comes while it runs is seen, too.
    board.program("sleep", f"#!/bin/sh\nsed -i s/192.0.2.1/192.0.2.2/ {state}\n")
    assert board.run("resolver", timeout=20).returncode == 0
    assert asked.read_text() == "nameserver 10.0.2.3\nnameserver 192.0.2.2\n"


@pytest.mark.parametrize("machine", ["legacy-gateway", "rpi4"])
def test_each_machine_asks_for_names(machine: str) -> None:
    assert "gateway-resolver.path" in recipe.load(IMAGES / machine).enable


@pytest.mark.parametrize("machine", ["legacy-gateway", "rpi4"])
def test_each_machine_asks_for_the_time_and_waits_for_nobody(machine: str) -> None:
    source = "systemd-timesyncd.service"
    loaded = recipe.load(IMAGES / machine)
    assert "systemd-timesyncd" in loaded.base.packages
    assert source in loaded.enable
    assert source not in loaded.health.services  # a site without the time is no reason to roll back
    texts = {
        path.relative_to(folder): path.read_text(errors="replace")
        for folder in loaded.overlay
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert not [path for path, text in texts.items() if re.search("time-(wait-)?sync", text)]
    wired = texts[Path("etc/systemd/network/10-wired.network")]
    assert "DHCP=ipv4" in wired
    assert "UseNTP" not in wired  # its default: the servers that DHCP names
