"""`python -m pe_nnunet.recipe` prints the page `docs/recipe.md`."""

from __future__ import annotations

from typing import Any

from pe_nnunet.options import limits_of, options_of
from pe_nnunet.recipe.recipe import TrainingRecipe

HEAD = """# The training recipe

Hyper-parameters of `PETrainer` and of the trainers over it. Values come from the class, are overruled by the plans
(a table `pe_nnunet_recipe` in the plans' JSON), and those by the environment variable `PE_NNUNET_RECIPE`: pairs, or the
path of a TOML file.

    export PE_NNUNET_RECIPE="epochs=200 learning_rate=5e-4"      # or: PE_NNUNET_RECIPE=recipe.toml
    nnUNetv2_train 501 3d_fullres 0 -tr PETARUNetTrainer -p PETARUNetPlans

An unknown key or a bad value is one clear error. The recipe is printed, logged and stored in the checkpoint and in
`debug.json`. [Training](training.md) says what happens in one.

| key | default | meaning | limits |
| --- | --- | --- | --- |
"""

TAIL = """
This page is the output of `python -m pe_nnunet.recipe`.
"""


def page() -> str:
    """The page, one line a key."""
    rows = [
        f"| `{item.name}` | {_plain(item.default)} | {item.metadata['text']} | {limits_of(item) or 'true, false'} |"
        for item in options_of(TrainingRecipe).values()
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(page(), end="")
