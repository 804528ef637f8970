import pytest

from harness.errors import (
    BuildError,
    ConfigurationError,
    DeviceError,
    HarnessError,
    LabError,
    PromotionError,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (HarnessError, 1),
        (ConfigurationError, 2),
        (BuildError, 2),
        (LabError, 3),
        (DeviceError, 4),
        (PromotionError, 5),
    ],
)
def test_each_kind_has_the_exit_code_that_the_readme_promises(
    kind: type[HarnessError], code: int
) -> None:
    assert kind("x").exit_code == code


def test_the_printed_form_has_what_there_is() -> None:
    assert str(LabError("no QEMU")) == "no QEMU"
    whole = LabError("no QEMU", details="  last line", hint="install it")
    assert str(whole) == "no QEMU\n  last line\nhint: install it"


def test_all_problems_of_a_file_are_one_error() -> None:
    error = ConfigurationError.of("recipe.yaml", ["slots.size: missing", "suit: unknown key"])
    assert error.brief == "recipe.yaml: 2 problems"
    assert error.details.splitlines() == ["  - slots.size: missing", "  - suit: unknown key"]
