"""Which predicted scans a person should correct first: those with most findings in doubt, and the doubts in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure, work_through
from pe_nnunet.correction.predicted import Predicted, predicted_cases
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.errors import InputError
from pe_nnunet.metrics.markers import Marker
from pe_nnunet.outputs.emboli_table import read_emboli_csv

IN_DOUBT = 0.5
_NAMED = 3


@dataclass(frozen=True)
class Doubt:
    """A finding whose being an embolus is in doubt.

    Attributes:
        id: In the table of emboli.
        kept: It counts as an embolus.
        probability: Its highest.
        agreement: Share of the networks that call it an embolus; None where that was not saved.
        doubt: 0 to 1, the higher of both below.
    """

    id: int
    kept: bool
    probability: float
    agreement: float | None
    doubt: float


@dataclass(frozen=True)
class NextScan:
    """A scan without a label in the dataset.

    Attributes:
        case: Case id.
        score: Sum of the doubts of its findings that are in doubt.
        in_doubt: How many these are.
        pe_score: Highest probability of its findings.
        emboli: How many are kept.
        reason: In words.
    """

    case: str
    score: float
    in_doubt: int
    pe_score: float
    emboli: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def next_scans(dataset_folder: Path, results: Path) -> tuple[list[NextScan], list[CaseFailure]]:
    """Scans of a run that have no label in a dataset, the one to correct first at first.

    One whose table of emboli cannot be read, or has a place outside the scan, is a line on stderr and stops no other.

    Args:
        dataset_folder: In `nnUNet_raw`, converted.
        results: What predict-fused wrote; with `--save-agreement`, disagreement of its networks counts too.

    Returns:
        The scans, and those that failed.

    Raises:
        PEError: PE-CONV-013 if nothing says what the dataset holds, PE-COR-007 if there are no results, or all of them
            are labelled.
    """
    records = load_cases(dataset_folder)
    labelled = {record.sha256.get("image", "") for record in records.values()}
    predicted = predicted_cases(results)
    left = [p for case, p in predicted.items() if case not in records and p.scan_sha256 not in labelled]
    if not left:
        text = f"all {len(predicted)} scans in {results} are in {dataset_folder.name} already"
        raise InputError("PE-COR-007", text, "predict scans that have no labels yet")
    found, failed = work_through(_ranked, {one.case: one for one in left})
    return sorted(found.values(), key=lambda scan: (-scan.score, -scan.pe_score, scan.case)), failed


def doubt_of(probability: float, threshold: float, agreement: float | None, members: int) -> float:
    """How far it is in doubt whether a finding is an embolus: 1 at the threshold, 0 where its probability is 0 or 1.

    Where several networks were averaged, the doubt is at least 1 where half of them call it one, and 0 where all agree.

    Args:
        probability: Highest of the finding.
        threshold: That it is compared with.
        agreement: Share of the networks that call it an embolus, or None.
        members: How many networks there are.

    Example:
        >>> round(doubt_of(0.4, 0.5, None, 1), 2), doubt_of(1.0, 0.5, 0.5, 2), doubt_of(1.0, 0.5, 1.0, 2)
        (0.8, 1.0, 0.0)
    """
    near = probability / threshold if probability < threshold else (1 - probability) / (1 - threshold or 1)
    apart = 0.0 if agreement is None or members < 2 else 1 - abs(2 * agreement - 1)
    return max(near, apart)


def _ranked(case: Predicted) -> NextScan:
    findings = read_emboli_csv(case.file("table"))
    shares = _agreement(case, findings)
    doubts = []
    for finding in findings:
        share = shares.get(finding.id)
        doubt = doubt_of(finding.probability, case.threshold, share, case.members)
        if doubt >= IN_DOUBT:
            doubts.append(Doubt(finding.id, finding.kept, finding.probability, share, doubt))
    doubts.sort(key=lambda one: (-one.doubt, one.id))
    pe_score = max((finding.probability for finding in findings), default=0.0)
    kept = sum(finding.kept for finding in findings)
    reason = _in_words(doubts, case, pe_score, kept)
    return NextScan(case.case, round(sum(d.doubt for d in doubts), 4), len(doubts), pe_score, kept, reason)


def _agreement(case: Predicted, findings: Sequence[Marker]) -> Mapping[int, float]:
    """By id of a finding, the share of networks that call its most certain voxel an embolus; empty where not saved."""
    path = case.file("agreement")
    if case.members < 2 or not path.is_file():
        return {}
    image = sitk.ReadImage(str(path))
    shares = {}
    for finding in findings:
        place = image.TransformPhysicalPointToIndex(finding.position_lps_mm)
        if not all(0 <= i < n for i, n in zip(place, image.GetSize(), strict=True)):
            text = f"{case.file('table')}: the place of finding {finding.id} is outside the scan"
            raise InputError("PE-OUT-011", text, "predict the scan again")
        shares[finding.id] = float(image[place])
    return shares


def _in_words(doubts: Collection[Doubt], case: Predicted, pe_score: float, kept: int) -> str:
    if not doubts:
        return f"nothing in doubt: {kept} emboli, highest probability {pe_score:.2f}"
    split = [d for d in doubts if d.agreement is not None and 1 - abs(2 * d.agreement - 1) >= IN_DOUBT]
    near = [d for d in doubts if d not in split]
    texts = []
    if split:
        named = ", ".join(
            f"{_called(d)}: {round((d.agreement or 0) * case.members)} of {case.members}" for d in split[:_NAMED]
        )
        texts.append(f"the networks disagree on {_counted(split)} ({named})")
    if near:
        named = ", ".join(f"{_called(d)} at {d.probability:.2f}" for d in near[:_NAMED])
        texts.append(f"{_counted(near)} near the threshold of {case.threshold:g} ({named})")
    return "; ".join(texts)


def _called(doubt: Doubt) -> str:
    return f"embolus {doubt.id}" if doubt.kept else f"candidate {doubt.id}"


def _counted(doubts: Sequence[Doubt]) -> str:
    return f"{len(doubts)} finding{'s' * (len(doubts) > 1)}"
