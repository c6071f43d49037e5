"""How far a scan is over all folds of all models, and what a long run says."""

import numpy as np
import pytest
import torch

from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.long_run import LongRun, faster_ways
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.network_cost import NetworkCost
from pe_nnunet.inference.settings import PRESETS, InferenceSettings
from pe_nnunet.inference.window_progress import ModelWindows, WindowProgress
from pe_nnunet.roi import crop
from pe_nnunet.voxels import Box

CPU = torch.device("cpu")


class Model:
    """What progress and advice look at."""

    def __init__(self, name="m", folds=1, window=(10, 10, 10), written=1.0, axes=()):
        self.name, self.window_size, self.mirror_axes = name, window, axes
        self.folds = tuple((str(fold), {}) for fold in range(folds))
        self.cost = None if written is None else NetworkCost(1.0, written)


def test_the_share_of_the_time_is_by_what_a_window_costs():
    seen = []
    first = ModelWindows(Model("a", folds=2), 3)  # 2 x 3 windows of 1000 voxels
    second = ModelWindows(Model("b", window=(10, 10, 20), written=7.0), 1)  # one of 2000, 7 times as dear: 14
    course = WindowProgress([first, second], InferenceSettings(), lambda *told: seen.append(told))
    course.begin()
    for fold in ("0", "1"):
        done = course.fold(first, fold)
        done(2, 3)
        done(3, 3)
    course.fold(second, "0")(1, 1)
    assert [told[:3] for told in seen] == [
        ("a fold 0", 0, 7),
        ("a fold 0", 2, 7),
        ("a fold 0", 3, 7),
        ("a fold 1", 5, 7),
        ("a fold 1", 6, 7),
        ("b fold 0", 7, 7),
    ]
    np.testing.assert_allclose([told[3] for told in seen], np.array([0, 2, 3, 5, 6, 20]) / 20)


def test_an_ensemble_counts_the_windows_of_all_members(model_folder, thorax):
    models = [
        load_model(locate_folder(folder, None), CPU)
        for folder in (
            model_folder("A__P__3d_fullres", folds=(0, 1), log_odds=(1.0, 2.0)),
            model_folder("B__P__2d", patch=(32, 24), spacing=(3.0, 5.0), log_odds=(3.0,)),
        )
    ]
    part, seen = crop(thorax, Box((10, 12, 20), (37, 41, 52))), []
    how = InferenceSettings(mirroring=False, step=1.0)
    predict_ensemble(models, part, CPU, how, progress=lambda *told: seen.append(told))
    # 27x29x32 voxels of 4 mm by 16: 2x2x2 windows, twice; 27 slices of 39x26 voxels of 3x5 mm by 32x24: 2x2
    assert {told[2] for told in seen} == {2 * 8 + 27 * 4}
    assert seen[0] == ("A__P__3d_fullres fold 0", 0, 124, 0.0)
    assert [seen[-1][1], round(seen[-1][3], 9)] == [124, 1]
    for column in (1, 3):
        told = [row[column] for row in seen]
        assert told == sorted(told)


def test_a_run_of_more_than_ten_minutes_says_so_once(capsys):
    long = LongRun([Model(axes=(0, 1, 2), folds=5)], CPU, InferenceSettings(), 4, in_parts=True)
    foreseen = long.next_scan()
    foreseen(150)  # four of them take ten minutes
    assert capsys.readouterr().out == ""
    foreseen(151)
    told = capsys.readouterr().out
    assert told.startswith("PE-IN-021 warning: this will take about 10 minutes, 2.5 minutes a scan; faster: ")
    assert "--num-parts" in told
    long.next_scan()(10_000)
    assert capsys.readouterr().out == ""


def test_scans_that_are_done_no_longer_count(capsys):
    long = LongRun([Model()], CPU, PRESETS["fast"], 2)
    long.next_scan()(100)
    last = long.next_scan()
    last(599)
    assert capsys.readouterr().out == ""
    last(7300)
    assert capsys.readouterr().out == "PE-IN-021 warning: this will take about 2.0 hours; faster: a GPU\n"


@pytest.mark.parametrize(
    ("models", "device", "how", "ways"),
    [
        ([Model()], "cuda", PRESETS["fast"], []),
        ([Model(axes=(0, 2))], "cuda", InferenceSettings(step=0.75), ["--disable_tta, 4 times"]),
        ([Model(folds=3)], "cpu", PRESETS["fast"], ["one fold, -f 0, 3 times", "a GPU"]),
        (
            [Model(window=(128, 128, 136))],
            "cpu",
            PRESETS["fast"],
            ["smaller windows, --window 128 128 128", "a GPU"],
        ),
        ([Model(), Model()], "cuda", PRESETS["fast"], ["fewer models"]),
        ([Model()], "cuda", InferenceSettings(), ["windows further apart, -step_size 0.75, up to 3.4 times"]),
    ],
)
def test_what_would_be_faster(models, device, how, ways):
    assert faster_ways(models, torch.device(device), how) == ways
