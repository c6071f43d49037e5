"""Steps, their record, and what is shown of nnU-Net's log."""

import sys

import pytest

from pe_nnunet.demo.command import Step, StepRunner
from pe_nnunet.demo.steps import link_scans, split_studies
from pe_nnunet.demo.watchers import TrainingWatcher, everything
from pe_nnunet.errors import ConfigurationError, InputError

LOG = """2026-01-01 00:00:00.000001: Epoch 4
2026-01-01 00:00:00.000001: Current learning rate: 0.001
2026-01-01 00:00:00.000001: train_loss -0.31
2026-01-01 00:00:00.000001: val_loss -0.2
2026-01-01 00:00:00.000001: Pseudo dice [np.float32(0.4321)]
2026-01-01 00:00:00.000001: Epoch time: 6.0 s""".splitlines()


def test_one_line_an_epoch():
    watch = TrainingWatcher(epochs=15)
    shown = [text for line in LOG if (text := watch(line))]
    assert shown == ["epoch 5/15: loss -0.31, validation -0.2, patch Dice 0.4321, 6.0 s, about 60 s left"]


def write(path, text="x"):
    return (sys.executable, "-c", f"open({str(path)!r}, 'a').write({text!r}); print('hello')")


def runner(folder):
    return StepRunner(folder, {}, 1)


def test_a_step_is_done_once_and_again_when_it_changes(tmp_path, capsys):
    made = tmp_path / "made"
    for _ in range(2):
        runner(tmp_path).run(Step("one", write(made), (made,), everything))
    assert made.read_text() == "x"
    assert "there already" in capsys.readouterr().out
    runner(tmp_path).run(Step("one", write(made, "y"), (made,)))
    assert made.read_text() == "xy"
    made.unlink()
    runner(tmp_path).run(Step("one", write(made, "y"), (made,)))
    assert made.read_text() == "y"


def test_a_step_is_done_again_when_what_it_read_or_made_has_changed(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    source, made = tmp_path / "in" / "scan", tmp_path / "made"
    source.write_text("a patient")
    step = Step("one", write(made), (made,), reads=(tmp_path / "in",))
    runner(tmp_path).run(step)
    source.write_text("b patient")
    runner(tmp_path).run(step)
    assert made.read_text() == "xx"
    assert f"again, as {tmp_path / 'in'} is not what it was" in capsys.readouterr().out
    made.write_text("damaged")
    runner(tmp_path).run(step)
    assert made.read_text() == "damagedx"
    runner(tmp_path).run(step)
    assert made.read_text() == "damagedx"


def test_other_studies_of_the_same_names_take_the_place_of_the_first(tmp_path):
    for name in ("one", "two"):
        split_studies(studies(tmp_path / name), [], tmp_path / "out")
        assert (tmp_path / "out" / "train" / "c0").resolve() == tmp_path / name / "c0"


MEET = """import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
deadline = time.monotonic() + 60
while not other.exists() and time.monotonic() < deadline: time.sleep(0.01)
sys.exit(not other.exists())"""


def test_steps_of_a_group_run_at_the_same_time_and_alone_where_the_other_is_done(tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    steps = [Step(str(a), (sys.executable, "-c", MEET, str(a), str(b)), (a,)) for a, b in ((one, two), (two, one))]
    StepRunner(tmp_path, {}, 2).run(*steps)
    two.unlink()
    one.unlink()
    one.touch()
    again = StepRunner(tmp_path, {}, 2)
    again.run(*steps)
    assert one.exists()
    assert two.exists()


STOPPED = """import pathlib, sys
path = pathlib.Path(sys.argv[1])
path.write_text(path.read_text() + " ".join(sys.argv[2:]) + "|" if path.exists() else "first|")
sys.exit(path.read_text().count("|") < 2)"""


def test_a_step_that_was_stopped_goes_on_unless_what_it_reads_has_changed(tmp_path, capsys):
    made, source = tmp_path / "made", tmp_path / "source"
    source.write_text("a")
    step = Step("one", (sys.executable, "-c", STOPPED, str(made)), (made,), reads=(source,), go_on=("--c",))
    with pytest.raises(ConfigurationError):
        runner(tmp_path).run(step)
    runner(tmp_path).run(step)
    assert made.read_text() == "first|--c|"
    assert "from where it was stopped" in capsys.readouterr().out
    made.unlink()
    with pytest.raises(ConfigurationError):
        runner(tmp_path).run(step)
    source.write_text("b")
    runner(tmp_path).run(step)
    assert made.read_text() == "first||"


def test_a_step_after_a_changed_one_is_done_again(tmp_path):
    for text in ("a", "b"):
        two = StepRunner(tmp_path, {}, 2)
        two.run(Step("one", write(tmp_path / "one", text), (tmp_path / "one",)))
        two.run(Step("two", write(tmp_path / "two", "t"), (tmp_path / "two",)))
    assert (tmp_path / "two").read_text() == "tt"


def test_a_step_after_one_that_is_done_again_is_done_again(tmp_path):
    for _ in range(2):
        two = StepRunner(tmp_path, {}, 2)
        two.run(Step("one", write(tmp_path / "one"), (tmp_path / "one",)))
        two.run(Step("two", write(tmp_path / "two", "t"), (tmp_path / "two",)))
        (tmp_path / "one").unlink()
    assert (tmp_path / "two").read_text() == "tt"


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "pass"])
def test_a_failing_step_shows_the_end_of_its_output(tmp_path, code, capsys):
    with pytest.raises(ConfigurationError, match="PE-DEMO-001"):
        runner(tmp_path).run(Step("one", (sys.executable, "-c", f"print('why'); {code}"), (tmp_path / "never",)))
    assert not (tmp_path / "1.json").exists()


def studies(folder, count=7):
    for number in range(count):
        (folder / f"c{number}").mkdir(parents=True)
        (folder / f"c{number}" / "ct.nii.gz").touch()
        (folder / f"c{number}" / "emboli.nii.gz").touch()
    return folder


def test_held_out_cases_are_apart(tmp_path):
    split_studies(studies(tmp_path / "in"), ["c1", "c4"], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "test").iterdir()) == ["c1", "c4"]
    assert sorted(p.name for p in (tmp_path / "out" / "train").iterdir()) == ["c0", "c2", "c3", "c5", "c6"]
    link_scans(tmp_path / "out" / "test", tmp_path / "out" / "to_predict")
    assert sorted(p.name for p in (tmp_path / "out" / "to_predict").rglob("*.nii.gz")) == ["ct.nii.gz"] * 2


@pytest.mark.parametrize(("held_out", "count", "code"), [(["nobody"], 7, "PE-IN-002"), ([], 5, "PE-IN-001")])
def test_held_out_errors(tmp_path, held_out, count, code):
    with pytest.raises(InputError, match=code):
        split_studies(studies(tmp_path / "in", count), held_out, tmp_path / "out")
