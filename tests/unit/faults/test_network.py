import re

import pytest

from harness.faults.network import NetworkFault, NetworkFaultKind

FORMS = [
    "reset@4194304",
    "reset@0x3",
    "close@17",
    "stall@1",
    "flip@99x2",
    "link-down@5:10s",
    "link-down@5:1500ms",
    "status:503x3",
    "status:404",
    "delay:200ms",
    "rate:64k",
    "rate:2M",
    "rate:1000",
]


@pytest.mark.parametrize("form", FORMS)
def test_printed_form_reads_back(form: str) -> None:
    fault = NetworkFault.parse(form)
    assert str(fault) == form
    assert NetworkFault.parse(str(fault)) == fault


def test_fields() -> None:
    assert NetworkFault.parse("link-down@7:2s") == NetworkFault(
        kind=NetworkFaultKind.LINK_DOWN, at=7, value=2000
    )
    assert NetworkFault.parse("rate:64k").value == 65536
    assert NetworkFault.parse("status:503x3").times == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reset",
        "reset@",
        "reset@-1",
        "reset@5:3s",
        "reset@5x0",
        "status:503@3",
        "status",
        "delay:5",
        "delay:0ms",
        "delay:5msx2",
        "rate:5s",
        "rate:0",
        "link-down@5",
        "explode@5",
        "reset@5 ",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        NetworkFault.parse(text)
