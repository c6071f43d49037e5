"""Where a recipe's values come from: trainer class, then plans, then the environment."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe.recipe import RENAMED, TrainingRecipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


ENVIRONMENT_VARIABLE = "PE_NNUNET_RECIPE"
PLANS_KEY = "pe_nnunet_recipe"


def resolve_recipe(class_defaults: Mapping[str, Any], plans: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe of a training: class defaults, overruled by the plans, overruled by the environment.

    Args:
        class_defaults: What a trainer class changes of `TrainingRecipe`'s own defaults.
        plans: nnU-Net plans; values under the key `pe_nnunet_recipe` count.

    Raises:
        ConfigurationError: On an unknown key, a bad value, or an unreadable `PE_NNUNET_RECIPE`.
    """
    # plans are stored with a model, and load with the names of their time
    stored = {RENAMED.get(name, name): value for name, value in plans.get(PLANS_KEY, {}).items()}
    return (
        TrainingRecipe()
        .updated(class_defaults, "the trainer class")
        .updated(stored, f"the plans' {PLANS_KEY}")
        .updated(read_environment(os.environ.get(ENVIRONMENT_VARIABLE, "")), ENVIRONMENT_VARIABLE)
    )


def read_environment(text: str, variable: str = ENVIRONMENT_VARIABLE, code: str = "PE-TRAIN-003") -> dict[str, Any]:
    """Values from `key=value` pairs or from a TOML file.

    Args:
        text: For example `"epochs=20 iterations=50"`, or the path of a `.toml` file.
        variable: Where it comes from, for errors.
        code: Of errors.

    Raises:
        ConfigurationError: If it is neither.

    Example:
        >>> read_environment("epochs=20 optimizer=sgd")
        {'epochs': '20', 'optimizer': 'sgd'}
    """
    if text.strip().endswith(".toml"):
        path = Path(text.strip())
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(code, f"cannot read {path}, named by {variable}: {error}") from error
        return values
    values = {}
    try:
        pairs = shlex.split(text.replace(",", " "))
    except ValueError as error:
        raise ConfigurationError(
            code, f"{variable} holds {text!r}: {error}", "write key=value pairs or the path of a .toml file"
        ) from error
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ConfigurationError(
                code,
                f"{variable} holds {pair!r}",
                "write key=value pairs or the path of a .toml file",
            )
        values[name] = value
    return values
