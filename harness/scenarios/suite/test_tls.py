"""Scenario 11: the update server speaks TLS, with a certificate that is right or that is not.

A device must take an update over TLS, also when the certificate is renewed meanwhile, and none from
a server that cannot show whose it is. The download does not go through the proxy, which could not
look into it.
"""

from dataclasses import asdict

import pytest

from harness.boards.lab_file import Part
from harness.builders import builder
from harness.builders.builder import Ability
from harness.evidence.record import Fault
from harness.faults.certificates import Certificate, Issuer, server_context
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.updates.server import UpdateServer


def issuer_for(release: Release, host: str) -> Issuer:
    """Makes certificates that devices with `release` believe; ConfigurationError when nobody here
    can."""
    by = builder.require(release, Ability.AUTHORITY)
    return Issuer(authority=by.server_ca(release), host=host)


def over_tls(
    bench: Bench, scenario: Scenario, certificate: Certificate, old: Release, new: Release
) -> None:
    """One update from that server. When it is refused, the server gets a valid certificate, and is
    asked again: that shows what was refused."""
    judge, host = bench.judge(old, new), bench.board.addresses.host
    issuer, context = issuer_for(old, host), server_context()
    issuer.show(context, certificate)
    with scenario, UpdateServer(listen=bench.board.addresses.listen, tls=context) as server:
        bench.running(old)
        server.add(new.artifact.name, new.artifact)
        if certificate is Certificate.ROTATED:
            server.break_off(lambda: issuer.show(context, Certificate.ROTATED))
        before = judge.selection_now()
        url = server.url(new.artifact.name, host=host)
        result = bench.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        told = {"client": result.output[-1000:], "requests": [asdict(each) for each in server.log]}
        scenario.fault = Fault(printed=f"server:{certificate}", parameters=told)
        name = "installed" if certificate.believed else "refused"
        scenario.must(name, result.ok is certificate.believed, result.output[-500:])
        if not result.ok:
            after = judge.selection_now()
            untouched = before is not None and before == after
            scenario.must("boot-selection-untouched", untouched, f"{before} -> {after}")
            issuer.show(context, Certificate.VALID)
            again = bench.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
            scenario.must("installed-once-valid", again.ok, again.output[-500:])
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


@pytest.mark.tls
@pytest.mark.builds("authority")
@pytest.mark.needs(Part.CLOCK)  # who does not know the date cannot tell what is valid
@pytest.mark.parametrize("certificate", Certificate)
def test_server(
    bench: Bench, releases: Releases, scenario: Scenario, certificate: Certificate
) -> None:
    over_tls(bench, scenario, certificate, *releases.after(scenario))
