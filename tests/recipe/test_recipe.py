"""The training recipe: its sources, its limits, its errors."""

from pathlib import Path

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe import ENVIRONMENT_VARIABLE, TrainingRecipe, resolve_recipe
from pe_nnunet.recipe.__main__ import page


def test_environment_overrules_plans_overrule_class(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "epochs=7 test_time_mirroring=no")
    recipe = resolve_recipe(
        {"epochs": 5, "iterations": 5, "ema_decay": 0.9}, {"pe_nnunet_recipe": {"epochs": 6, "iterations": 6}}
    )
    assert (recipe.epochs, recipe.iterations, recipe.ema_decay, recipe.test_time_mirroring) == (7, 6, 0.9, False)


def test_toml_file(monkeypatch, tmp_path):
    path = tmp_path / "my recipe.toml"
    path.write_text('learning_rate = 2e-3\noptimizer = "sgd"\n')
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    recipe = resolve_recipe({}, {})
    assert (recipe.learning_rate, recipe.optimizer) == (2e-3, "sgd")


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("epoch=3", "PE-TRAIN-001", "'epoch'"),
        ("patch_size=96x96x96", "PE-TRAIN-001", "PE_NNUNET_PLAN"),
        ("batch_size=-1", "PE-TRAIN-002", "0 or more"),
        ("epochs=0", "PE-TRAIN-002", "epochs"),
        ("epochs=2.5", "PE-TRAIN-002", "whole"),
        ("epochs=many", "PE-TRAIN-002", "'many'"),
        ("learning_rate=nan", "PE-TRAIN-002", "learning_rate"),
        ("focal_mean=patch", "PE-TRAIN-002", "voxels, foreground"),
        ("embolus_weight_power=2", "PE-TRAIN-002", "0 to 1"),
        ("optimizer=adam", "PE-TRAIN-002", "muon, adamw, sgd"),
        ("test_time_mirroring=maybe", "PE-TRAIN-002", "true or false"),
        ("epochs", "PE-TRAIN-003", "key=value"),
        ("/nowhere/recipe.toml", "PE-TRAIN-003", "/nowhere/recipe.toml"),
    ],
)
def test_errors_name_key_and_remedy(monkeypatch, text, code, named):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(ConfigurationError) as caught:
        resolve_recipe({}, {})
    assert caught.value.code == code
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_quotation_mark_without_its_other_half_is_told(monkeypatch):
    monkeypatch.setenv("PE_NNUNET_RECIPE", "epochs='5")
    with pytest.raises(ConfigurationError, match="PE-TRAIN-003"):
        resolve_recipe({}, {})


def test_round_trip_through_plain_types():
    recipe = TrainingRecipe(epochs=3, cpu_bfloat16=False)
    assert TrainingRecipe(**recipe.as_dict()) == recipe


def test_the_documentation_is_up_to_date():
    documented = Path(__file__).parents[2] / "docs" / "recipe.md"
    assert documented.read_text(encoding="utf-8") == page()


def test_former_keys_load_from_stored_plans_and_are_named_elsewhere(monkeypatch):
    assert resolve_recipe({}, {"pe_nnunet_recipe": {"minimum_embolus_mm3": 7.0}}).min_embolus_mm3 == 7.0
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "replicate_most=2")
    with pytest.raises(ConfigurationError, match="it is now called replicate_max"):
        resolve_recipe({}, {})
