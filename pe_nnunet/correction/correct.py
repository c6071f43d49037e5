"""An edited label becomes that of a case of a dataset: read, compared with what was there, written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pe_nnunet import __version__
from pe_nnunet.correction.edited_file import Places, case_of, read_edited
from pe_nnunet.correction.embolus_changes import EmbolusChange, count_changes, follow_emboli
from pe_nnunet.correction.given_scans import GivenScans
from pe_nnunet.correction.history import carry_out, decide, highest_id, interrupted
from pe_nnunet.correction.new_label import corrected_case, new_case
from pe_nnunet.correction.predicted import Predicted
from pe_nnunet.dataset.folders import SPLITS, stale_preprocessed
from pe_nnunet.dataset.raw import CASES, case_file, load_cases
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset.split_checks import read_checked_splits
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.prepare import restore
from pe_nnunet.dataset_conversion.splits import training_cases
from pe_nnunet.errors import ConfigurationError, InputError, Note
from pe_nnunet.files.json_reader import read_object
from pe_nnunet.files.locks import locked
from pe_nnunet.volumes import ScanRef, empty_note, image_like, read_label, require_same_grid
from pe_nnunet.volumes.case_names import HASHED, hashed, says_patient
from pe_nnunet.volumes.files.volume_file import file_sha256

SCHEMES = ("pe", "artery-pe")


@dataclass(frozen=True)
class Correction:
    """What was done to a case.

    Attributes:
        case: Case id.
        edited: Name of the edited file.
        new: The case was added to the dataset.
        changes: By embolus.
        compared_with: `"dataset"`, `"prediction"`, or `"nothing"` where there were no emboli to compare with.
        notes: What deserves a look.
    """

    case: str
    edited: str
    new: bool
    changes: tuple[EmbolusChange, ...]
    compared_with: str
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the counts of changes."""
        return asdict(self) | {"counts": count_changes(self.changes)}

    @property
    def summary(self) -> str:
        """The counts in words, and what they come from."""
        counts = ", ".join(f"{n} {kind}" for kind, n in count_changes(self.changes).items() if n) or "no embolus"
        what = "nothing" if self.compared_with == "nothing" else f"the {self.compared_with}"
        return f"{counts}, compared with {what}"


class CorrectedDataset:
    """A converted dataset that takes corrections, with what edited labels may be compared with.

    Args:
        dataset_folder: In `nnUNet_raw`.
        scans: Scans that were given, by case id.
        predicted: Results of predict-fused, by case id.
        options: How labels are read (`label_kind`, `segments`), scans repaired, and new cases cropped.
        by: Who made the corrections.

    Raises:
        ConfigurationError: PE-CONV-013 if nothing says how the dataset was converted, PE-COR-005 if its labels hold no
            emboli.
    """

    def __init__(
        self,
        dataset_folder: Path,
        scans: Mapping[str, ScanRef],
        predicted: Mapping[str, Predicted],
        options: ConvertOptions,
        by: str,
    ) -> None:
        load_cases(dataset_folder)
        heading = read_object(dataset_folder / CASES)
        scheme = heading.get("scheme")
        if scheme not in SCHEMES:
            text = f"{dataset_folder.name} has labels of the scheme {scheme}"
            raise ConfigurationError("PE-COR-005", text, f"convert with --scheme {' or '.join(SCHEMES)}")
        self.folder, self.predicted, self.by = dataset_folder, predicted, by
        self.scans = GivenScans(scans, options.repairs)
        self.names = str(heading.get("names"))
        self.options = replace(options, scheme=scheme)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The right to write, for this process alone.

        Raises:
            ConfigurationError: PE-CONV-011 while a conversion or another correction writes.
        """
        busy = ConfigurationError("PE-CONV-011", f"another process writes {self.folder.name}", "wait until it is done")
        with locked(self.folder.with_name(f".{self.folder.name}.lock"), busy):
            yield

    def finish(self) -> list[Note]:
        """Carry through what an earlier run decided and did not end."""
        return [
            Note(
                "PE-COR-006", "repaired", f"{carry_out(self.folder, folder).case}: an interrupted correction was ended"
            )
            for folder in list(interrupted(self.folder))
        ]

    def stale(self) -> list[Note]:
        """What lies in nnUNet_preprocessed and does not fit the dataset any more, see `stale_preprocessed`."""
        splits = read_checked_splits(self.folder / SPLITS) if (self.folder / SPLITS).is_file() else []
        return stale_preprocessed(self.folder.name, splits, cases_changed=True)

    def case_of(self, path: Path) -> str:
        """The case that an edited file is of, see `edited_file.case_of`; by its scan, if that is known otherwise."""
        known = self._scan_sha256()
        case = case_of(path, {*known, *self.scans}, self.scans)
        if case in known:
            return case
        sha256 = self.scans.sha256(case)
        return next((other for other, there in known.items() if sha256 and there == sha256), case)

    def _scan_sha256(self) -> dict[str, str]:
        """Of the scans that were predicted and those of the dataset, by case."""
        predicted = {case: one.scan_sha256 for case, one in self.predicted.items()}
        return predicted | {case: record.sha256.get("image", "") for case, record in load_cases(self.folder).items()}

    def correct(self, path: Path, case: str, *, dry_run: bool = False) -> Correction:
        """Make an edited label that of its case.

        Args:
            path: The edited file.
            case: Its case.
            dry_run: Say what would change, and write nothing.

        Raises:
            PEError: If it cannot be read, lies elsewhere, or the case cannot be added.
        """
        if not path.is_file():
            raise InputError("PE-LBL-001", f"the label {path} does not exist", "check the path")
        records = load_cases(self.folder)
        record = records.get(case)
        places = self._places(case, records)
        edited, notes = read_edited(path, places, self.options)
        notes += empty_note(edited, path.name)
        before, compared_with = self._before(case, record, edited)
        voxel_mm3 = float(np.prod(edited.GetSpacing()))
        numbers = sitk.GetArrayFromImage(edited)
        ids, changes = follow_emboli(before, numbers, voxel_mm3, highest_id(self.folder, case))
        emboli, when = image_like(ids, edited), datetime.now(timezone.utc).isoformat(timespec="seconds")
        done = Correction(case, path.name, record is None, changes, compared_with, tuple(notes))
        note = Note("PE-COR-008", "repaired", f"label by {self.by}, {when}: {done.summary}")
        if record is not None:
            images, after = corrected_case(self.folder, record, places, emboli, path, self.options.scheme, note)
            roles = {"label", "instances"} if after.box == record.box else set(images)
        else:
            images, after = new_case(places.given, case, emboli, path, records, self.options, self.names, note)
            roles = set(images)
        training_cases(records | {case: after})
        if not dry_run:
            hidden = (path.name,) if self._says_patient(path, case) else ()
            facts = {
                "by": self.by,
                "when": when,
                "program": f"pe-nnunet {__version__}",
                "edited": hashed(path.name) if hidden else path.name,
                "edited_sha256": file_sha256(path),
                "compared_with": compared_with,
                "notes": [asdict(one.without(hidden)) for one in notes],
            }
            carry_out(self.folder, decide(self.folder, images, roles, record, after, changes, facts))
        return done

    def _says_patient(self, path: Path, case: str) -> bool:
        """Whether the name of an edited file may say whose it is."""
        ref = self.scans.get(self._scan_name(case) or "")
        return self.names == HASHED or (ref is not None and says_patient(ref, ref.path, [path.name]))

    def _places(self, case: str, records: Mapping[str, CaseRecord]) -> Places:
        """Scan, record and crop of a case, the scan checked against what is known of it."""
        scan, name, record = None, self._scan_name(case), records.get(case)
        if name is not None:
            scan = self.scans.read(name)
            same = [other for other, one in records.items() if one.sha256.get("image") == scan.sha256]
            if record is not None:
                require_same_grid(record.geometry.blank(), scan.image, f"the scan of {case} given with -i")
            elif same:
                text = f"the scan given for {case} is that of {same[0]} in the dataset already"
                raise InputError("PE-COR-001", text, f"correct it as --case {same[0]}")
            elif case in self.predicted and scan.sha256 != self.predicted[case].scan_sha256:
                text = f"the scan of {case} given with -i is not the one that was predicted"
                raise InputError("PE-COR-003", text, "give that one, or leave out the predictions")
        crop = None
        if record is not None:
            crop = sitk.ReadImage(str(case_file(self.folder, "image", case, test=record.test)))
        return Places(case, scan, record, crop)

    def _scan_name(self, case: str) -> str | None:
        """What the scan of a case is called among those that were given."""
        return self.scans.name_of(case, self._scan_sha256().get(case, ""))

    def _before(self, case: str, record: CaseRecord | None, grid: sitk.Image) -> tuple[Any, str]:
        """Emboli before the correction on the grid of the scan, and where they come from."""
        if record is not None:
            old = read_label(case_file(self.folder, "instances", case, test=record.test))
            return sitk.GetArrayFromImage(restore(old, record)).astype(np.uint16), "dataset"
        if case in self.predicted:
            path = self.predicted[case].file("emboli")
            found = read_label(path)
            require_same_grid(grid, found, path.name)
            return sitk.GetArrayFromImage(found).astype(np.uint16), "prediction"
        return np.zeros(grid.GetSize()[::-1], np.uint16), "nothing"
