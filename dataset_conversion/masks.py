"""Puts the masks beside the scans: what every kind of source does once it has found its scans."""

from __future__ import annotations

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.layout import one_scan, scans_of
from pe_nnunet.dataset_conversion.lookup import CASE, MaskLookup, match_cases
from pe_nnunet.dataset_conversion.options import ConvertOptions, LabelKind
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing
from pe_nnunet.errors import ConfigurationError, InputError, PEError
from pe_nnunet.volumes import ScanRef


class CaseMasks:
    """Finds embolus and artery mask of each case by the options.

    Args:
        options: Where the masks are, and which cases have no embolus.

    Raises:
        ConfigurationError: If a folder of masks does not exist.
    """

    def __init__(self, options: ConvertOptions) -> None:
        self._options = options
        self._labels = None if options.labels is None else MaskLookup(options.labels, "embolus label")
        named = None if options.arteries_by_contrast else options.artery
        self._arteries = None if named is None else MaskLookup(named, "artery mask")

    def files(self) -> set[Path]:
        """All masks that the options name, of whatever case, resolved."""
        return {path.resolve() for lookup in (self._labels, self._arteries) if lookup for path in lookup.files()}

    def has_label(self, case_id: str) -> bool:
        """Whether the options name an embolus mask for a case, or several."""
        try:
            return self._labels is not None and self._labels.find(case_id) is not None
        except InputError:
            return True  # asked for its files, the case says that there are several

    def source(
        self,
        ref: ScanRef,
        name: str,
        *,
        own_label: Path | None = None,
        own_label_kind: LabelKind = "instances",
        own_artery: Path | None = None,
        known_negative: bool = False,
    ) -> CaseSource:
        """The files of a case; what the options name goes before what the source has of its own.

        Args:
            ref: The scan, under its final case id.
            name: Where it lies, relative to the source folder.
            own_label: Embolus mask that the source has for it.
            own_label_kind: How that one is read under `auto`.
            own_artery: Artery mask that the source has for it.
            known_negative: The source says that it has no embolus, so that it needs no mask.

        Raises:
            InputError: If a mask that is needed is missing, or could be several files.
        """
        options, case = self._options, ref.case_id
        label = self._labels.find(case) if self._labels else own_label
        needs_label = options.scheme != "artery" and not known_negative and case not in options.negatives
        if label is None and needs_label:
            raise InputError(
                "PE-CONV-005",
                f"no embolus label: {_where_looked(self._labels, case, '--labels')}",
                "a case without emboli is listed in the file of --negatives",
            )
        artery = self._arteries.find(case) if self._arteries else own_artery
        if options.arteries_by_contrast:
            artery = None
        elif artery is None and options.scheme != "pe":
            raise InputError(
                "PE-CONV-008",
                f"no artery mask: {_where_looked(self._arteries, case, '--artery')}",
                "give --artery, or use --scheme pe",
            )
        own = label is not None and label == own_label
        kind = own_label_kind if own and options.label_kind == "auto" else options.label_kind
        return CaseSource(case, ref, name, label, artery, kind, own_label=own)


def _where_looked(lookup: MaskLookup | None, case: str, option: str) -> str:
    return lookup.where_looked(case) if lookup else f"the source has none, and {option} was not given"


def list_scans_with_masks(src: Path, options: ConvertOptions, *, dicom: bool) -> Listing:
    """Cases of a source that holds scans alone, with the masks that the options name.

    Args:
        src: A folder of scans, one scan, or a pattern with `{case}` for them.
        options: Where the masks are.
        dicom: Take DICOM series, else volume files.

    Raises:
        ConfigurationError: If nothing says where the masks are, or they lie among the scans.
        InputError: If there is no scan.
    """
    if options.labels is None and not options.negatives:
        raise ConfigurationError(
            "PE-CONV-004", "no embolus labels were named", f"give --labels FOLDER, or a pattern with {CASE}"
        )
    masks = CaseMasks(options)
    refs, errors = _scans(src, options)
    refs = [ref for ref in refs if (ref.kind == "dicom") == dicom]
    if not refs and not errors:
        wanted, other = ("DICOM series", "nifti") if dicom else ("NIfTI, NRRD or MHA volume", "dicom")
        raise InputError("PE-IN-001", f"{src} holds no {wanted}", f"for the other formats: pe-nnunet convert {other}")
    if CASE not in str(src):
        _require_apart(refs, masks.files())
    root = _fixed_part(str(src)) if CASE in str(src) else src if src.is_dir() else src.parent
    cases = []
    for ref in refs:
        try:
            cases.append(masks.source(ref, Path(os.path.relpath(ref.path, root)).as_posix()))
        except PEError as error:
            errors.append(CaseFailure.of(ref.case_id, error))
    return Listing(tuple(cases), tuple(errors))


def _scans(src: Path, options: ConvertOptions) -> tuple[list[ScanRef], list[CaseFailure]]:
    """The scans of a folder, or of a pattern, in which what stands for `{case}` names them."""
    if CASE not in str(src):
        return scans_of(src, options), []
    refs: list[ScanRef] = []
    errors: list[CaseFailure] = []
    for case, path in match_cases(str(src)).items():
        try:
            refs.append(one_scan(path, case, options))
        except PEError as error:
            errors.append(CaseFailure.of(case, error))
    return refs, errors


def _fixed_part(pattern: str) -> Path:
    """The folder of a pattern above its first wildcard."""
    first = min(pattern.find(sign) for sign in (CASE, "*", "?") if sign in pattern)
    return Path(pattern[:first] + "x").parent


def _require_apart(refs: Sequence[ScanRef], masks: AbstractSet[Path]) -> None:
    """Masks that lie among the scans of a folder are taken for scans; by patterns they can be told apart."""
    for ref in refs:
        if ref.path.resolve() in masks:
            raise ConfigurationError(
                "PE-CONV-004",
                f"{ref.path} would be a scan as well as a mask",
                f"name scans and masks by patterns, such as 'data/{CASE}/image.nii.gz'",
            )
