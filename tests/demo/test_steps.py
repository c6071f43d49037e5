"""Which commands the chain runs, and on which scans."""

from dataclasses import replace
from itertools import chain

import pytest

from pe_nnunet.cli import main
from pe_nnunet.demo import DemoSettings
from pe_nnunet.demo.chain import seconds_left
from pe_nnunet.demo.command import Step
from pe_nnunet.demo.settings import DETECTOR
from pe_nnunet.demo.steps import Steps


def commands(tmp_path, **settings):
    steps = Steps(DemoSettings(tmp_path, **settings), tmp_path)
    return {step.title: step.command for step in (*chain.from_iterable(steps.learning()), *steps.scoring())}


def test_both_networks_are_trained_calibrated_and_used_together(tmp_path):
    steps = commands(tmp_path)
    detector = next(command for title, command in steps.items() if title == "train the detector")
    assert detector[:6] == ("pe-nnunet", "train-detector", "-d", "501", "-f", "0")
    calibrate = steps["choose operating points on the validation scans"]
    assert calibrate[calibrate.index("--from") + 1] == "npz"
    assert "--npz" in steps["train TAR-UNet"]
    assert calibrate[calibrate.index("--detector") + 1].endswith("PEDetector__yolov8n-p2__128px")
    predict = steps["predict the held-out scans"]
    assert predict[predict.index("--detector") + 1].endswith("PEDetector__yolov8n-p2__128px/fold_0")
    assert "--save-parts" in predict


def test_nothing_is_chosen_on_the_scans_that_are_held_out(tmp_path):
    steps = Steps(DemoSettings(tmp_path), tmp_path)
    for step in chain.from_iterable(steps.learning()[2:]):  # after the phantoms
        assert not [part for part in step.command if "scans/test" in part or "to_predict" in part]


def test_both_networks_are_trained_at_the_same_time_each_on_its_processors(tmp_path, monkeypatch):
    monkeypatch.setattr("pe_nnunet.demo.measure.usable_processors", lambda: 6)
    steps = Steps(DemoSettings(tmp_path), tmp_path)
    together = next(group for group in steps.learning() if len(group) > 1)
    assert [step.title for step in together] == ["train TAR-UNet", "train the detector"]
    assert [step.environment["OMP_NUM_THREADS"] for step in together] == ["3", "3"]
    alone = Steps(DemoSettings(tmp_path, detector=None), tmp_path).learning()
    assert all(len(group) == 1 for group in alone)


def test_what_can_be_taken_up_is_taken_up(tmp_path):
    steps = Steps(DemoSettings(tmp_path), tmp_path)
    by_title = {step.title: step.go_on for step in (*chain.from_iterable(steps.learning()), *steps.scoring())}
    assert by_title["train TAR-UNet"] == ("--c",)
    assert by_title["predict the held-out scans"] == ("--resume",)


def test_without_a_detector_masks_choose_the_smallest_finding(tmp_path):
    steps = commands(tmp_path, detector=None)
    assert "train the detector" not in steps
    assert "masks" in steps["choose operating points on the validation scans"]
    assert "--detector" not in steps["predict the held-out scans"]


def test_a_smallest_finding_that_is_given_is_not_chosen(tmp_path):
    calibrate = commands(tmp_path, min_embolus_mm3=20.0)["choose operating points on the validation scans"]
    assert calibrate[calibrate.index("--min-embolus-mm3") + 1 :] == ("20",)
    assert "choose operating points on the validation scans" not in commands(
        tmp_path, detector=None, min_embolus_mm3=20.0
    )


@pytest.mark.parametrize("detector", [None, replace(DETECTOR, epochs=7, image_size=256)])
def test_the_options_reach_the_steps(tmp_path, monkeypatch, detector):
    asked = []

    def remember(settings):
        asked.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("pe_nnunet.demo.run_demo", remember)
    options = ["--detector-epochs", "7", "--detector-image-size", "256"] if detector else ["--no-detector"]
    main(["demo", "--out", str(tmp_path), "-device", "cpu", *options])
    assert asked[0].detector == detector


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--detector-epochs", "0"], "PE-DET-003"),
        (["--epochs", "0"], "PE-TRAIN-002"),
        (["--recipe", "learning_rat=3"], "PE-TRAIN-001"),
    ],
)
def test_what_a_training_would_refuse_is_refused_before_the_first_step(tmp_path, capsys, options, code):
    assert main(["demo", "--out", str(tmp_path / "demo"), *options]) == 2
    assert capsys.readouterr().err.startswith(code)
    assert not (tmp_path / "demo").exists()


def test_a_training_that_goes_on_is_expected_to_take_what_is_left_of_it(tmp_path):
    expected = {"start": 20.0, "training": 200.0, "validation": 30.0, "detector": 100.0}
    settings = DemoSettings(tmp_path, epochs=5)

    def said(*, goes_on):
        steps = Steps(settings, tmp_path, expected, goes_on=goes_on)
        return steps, [step.expected_s for step in next(group for group in steps.learning() if len(group) > 1)]

    steps, anew = said(goes_on=True)
    assert anew == [250, 120]
    history = steps.model / "fold_0" / "history.csv"
    history.parent.mkdir(parents=True)
    history.write_text("epoch,train_loss\n0,-0.1\n1,-0.2\n2,-0.3\n")
    assert said(goes_on=True)[1] == [pytest.approx(20 + 80 + 30), 120]
    assert said(goes_on=False)[1] == anew  # of a run with other settings


def test_of_steps_at_the_same_time_the_longest_counts_and_done_ones_do_not(tmp_path):
    first, second, third = (Step("", (), (), expected_s=seconds) for seconds in (10.0, 30.0, 20.0))
    groups = [(first,), (second, third)]
    assert seconds_left(groups, tmp_path) == 40
    (tmp_path / "1.json").touch()
    (tmp_path / "2.json").touch()
    assert seconds_left(groups, tmp_path) == 20
