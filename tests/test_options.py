"""Options declared once: limits, arguments and words come from the declaration."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.options import add_options, chosen, describe, limits_of, option, options_of, require_limits


@dataclass(frozen=True)
class Settings:
    epochs: int = option(100, "how often", low=1)
    step: float = option(0.5, "a share", above=0, high=1, flag="-step_size")
    mirroring: bool = option(True, "no mirroring", flag="--disable_tta")
    volumes_mm3: tuple[float, ...] = option((5.0, 10.0), "to try", low=0)
    kind: str = option("auto", "which", choices=("auto", "binary"))
    weights: Path | None = option(None, "to start from", kind=Path, default_text="fresh ones")
    inner: int = 3

    def __post_init__(self) -> None:
        require_limits(self, "PE-CONV-004")


def parsed(*arguments: str, unset: bool = False, names: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, Settings, *names, unset=unset)
    return parser.parse_args(arguments)


def test_arguments_and_class_agree_on_defaults():
    assert Settings(**chosen(parsed(), Settings)) == Settings()


def test_arguments_become_values_of_the_fields_types():
    given = "--epochs 3 -step_size 0.25 --disable_tta --volumes-mm3 1 2 --kind binary --weights a/b.pt"
    settings = Settings(**chosen(parsed(*given.split()), Settings))
    assert settings == Settings(3, 0.25, False, (1.0, 2.0), "binary", Path("a/b.pt"))


def test_unset_options_leave_the_choice_to_another():
    assert chosen(parsed(unset=True), Settings) == {}
    assert chosen(parsed("--disable_tta", "--epochs", "7", unset=True), Settings) == {"epochs": 7, "mirroring": False}


def test_a_command_may_take_some():
    args = parsed(names=("epochs",))
    assert chosen(args, Settings) == {"epochs": 100}
    with pytest.raises(SystemExit):
        parsed("--kind", "auto", names=("epochs",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "--epochs is 0, expected 1 or more"),
        ({"epochs": float("inf")}, "--epochs is inf, expected 1 or more"),
        ({"step": 0}, "-step_size is 0, expected above 0, at most 1"),
        ({"step": float("nan")}, "-step_size is nan, expected above 0, at most 1"),
        ({"volumes_mm3": (1.0, -1.0)}, "--volumes-mm3 is -1.0, expected 0 or more"),
        ({"kind": "other"}, "--kind is other, expected auto, binary"),
    ],
)
def test_a_value_out_of_its_limits_is_refused_by_its_flag(values, message):
    with pytest.raises(ConfigurationError) as caught:
        Settings(**values)
    assert str(caught.value) == f"PE-CONV-004: {message}"


def test_words_come_from_the_declaration():
    items = options_of(Settings)
    assert list(items) == ["epochs", "step", "mirroring", "volumes_mm3", "kind", "weights"]
    assert limits_of(items["kind"]) == "auto, binary"
    assert describe(items["epochs"]) == "how often; 1 or more; default 100"
    assert describe(items["volumes_mm3"]) == "to try; 0 or more; default 5 10"
    assert describe(items["mirroring"]) == "no mirroring"
    assert describe(items["weights"]) == "to start from; default fresh ones"
