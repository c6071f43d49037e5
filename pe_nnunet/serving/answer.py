"""One study predicted: its CTPA series chosen, then what `predict-fused` does with a scan."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from pe_nnunet.cases import CaseFailure, CaseLimits
from pe_nnunet.inference.batch import predict_batch
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.outputs import CaseSummary
from pe_nnunet.serving.choose_ctpa import choose_ctpa
from pe_nnunet.volumes import ScanRef, find_scans
from pe_nnunet.volumes.dicom.patient_header import patients_of


@dataclass(frozen=True)
class Answer:
    """What came of a study.

    Attributes:
        reason: Why which series was taken; empty if none was.
        outcome: The case's line in the run's summary, or why there is none.
    """

    reason: str
    outcome: CaseSummary | CaseFailure


class Answerer:
    """Predicts studies with models that are loaded once.

    Args:
        predictor: Holds the models.
        outputs: Kinds of files to write, as in `predict_batch`.
        limits: What the reading of a study may take, in a process of its own; None to read here.
    """

    def __init__(self, predictor: PEPredictor, outputs: frozenset[str], limits: CaseLimits | None) -> None:
        self._predictor, self._outputs, self._limits = predictor, outputs, limits

    def answer(self, study: str, folder: Path, results: Path) -> Answer:
        """Predict a study, unless the results that are there were made of the same files by the same models.

        Args:
            study: Its UID, which its case is called by.
            folder: Of its instances.
            results: Folder of its results.
        """
        reason = ""
        try:
            series, reason = choose_ctpa(sorted(folder.rglob("*.dcm")))
            ref = case_of(study, folder, series)
            (written, failed) = predict_batch(
                self._predictor, [ref], results, outputs=self._outputs, resume=True, limits=self._limits
            )
        except Exception as error:  # noqa: BLE001 - one study must not stop the others; its error is listed
            return Answer(reason, CaseFailure.of(study, error))
        return Answer(reason, written[0] if written else replace(failed[0], case_id=study))


def case_of(study: str, folder: Path, series: str) -> ScanRef:
    """The scan of a series, called by the UID of its study, and with the names that no message may hold.

    Args:
        study: StudyInstanceUID.
        folder: Of its instances.
        series: SeriesInstanceUID.

    Raises:
        PEError: As `find_scans`.
    """
    (ref,) = find_scans(folder, series_uid=series)
    names, birth_dates = patients_of(ref.files[:1])
    parts = {part for name in names for part in re.split(r"[\^=\s]+", name)} - {""}
    hidden = {*names, *parts, *birth_dates}
    return replace(ref, case_id=case_name(study), hidden=tuple(sorted(hidden, key=len, reverse=True)))


def case_name(study: str) -> str:
    """What files of a study are called by.

    Example:
        >>> case_name("1.2.840.1")
        'study_1-2-840-1'
    """
    return "study_" + study.replace(".", "-")
