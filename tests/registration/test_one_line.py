"""Errors of ours under nnU-Net's commands."""

from __future__ import annotations

import sys

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.registration.one_line import end_in_one_line

ERROR = ConfigurationError("PE-TRAIN-008", "none of the 1 training cases of fold 0 holds an embolus")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What the process shows as a traceback."""
    shown: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: shown.append(error))
    return shown


def test_an_error_of_ours_is_one_line(shown: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    end_in_one_line("/usr/bin/nnUNetv2_train")
    hook = sys.excepthook
    end_in_one_line("/usr/bin/nnUNetv2_train")
    assert sys.excepthook is hook
    other = ValueError("x")
    for error in (ERROR, other):
        sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == f"{ERROR}\n"
    assert shown == [other]


@pytest.mark.parametrize("program", ["my_script.py", "", "/usr/bin/pe-nnunet"])
def test_scripts_of_others_keep_their_traceback(shown: list[BaseException], program: str) -> None:
    before = sys.excepthook
    end_in_one_line(program)
    assert sys.excepthook is before
