"""Finds the files of each case: its scan, and the masks beside it, by the options or as the source has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import CaseFailure, work_through
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions, LabelKind
from pe_nnunet.dataset_conversion.patterns import CASE, MaskLookup, case_texts, fixed_part, match_cases
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes import ScanRef, find_scans, image_suffix
from pe_nnunet.volumes.case_names import refusal, says_patient
from pe_nnunet.volumes.find import clean


class CaseMasks:
    """Finds embolus and artery mask of each case by the options.

    Args:
        options: Where the masks are, and which cases have no embolus.
        scans: The files of the scans, resolved, where masks may lie among them.
        texts: What `{case}` stands for in patterns of masks: see `MaskLookup`.

    Raises:
        ConfigurationError: If a folder of masks does not exist.
    """

    def __init__(
        self, options: ConvertOptions, scans: AbstractSet[Path] = frozenset(), texts: Mapping[str, str] | None = None
    ) -> None:
        self._options = options
        self._labels = None if options.labels is None else MaskLookup(options.labels, "embolus label", scans, texts)
        named = None if options.arteries_by_contrast else options.artery
        self._arteries = None if named is None else MaskLookup(named, "artery mask", scans, texts)

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
            InputError: If a mask that is needed is missing, or could be several files; PE-CONV-034 if the name of a
                folder or file says the patient's.
        """
        options, case = self._options, ref.case_id
        parts = Path(name).parts
        if not options.hash_names and says_patient(ref, ref.path, parts):
            raise refusal()
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
        masks = [path.name for path in (label, artery) if path is not None and path.name not in parts]
        if masks and not options.hash_names and says_patient(ref, ref.path, masks):
            raise refusal()
        own = label is not None and label == own_label
        kind = own_label_kind if own and options.label_kind == "auto" else options.label_kind
        return CaseSource(case, ref, name, label, artery, kind, own_label=own)


def stem(path: Path) -> str:
    """File name without its image ending."""
    return path.name[: -len(suffix)] if path.is_file() and (suffix := image_suffix(path)) else path.name


def one_scan(path: Path, case: str, options: ConvertOptions) -> ScanRef:
    """The scan in a folder or file, under the name of its case.

    Raises:
        InputError: PE-CONV-009 if there are several, and what `find_scans` raises.
    """
    found = scans_of(path, options)
    if len(found) != 1:
        if not options.hash_names and any(says_patient(ref, path, [case]) for ref in found):
            raise refusal()
        raise InputError("PE-CONV-009", f"{path} holds {len(found)} scans, one expected", "leave one of them there")
    return replace(found[0], case_id=case)


def listing_of(ids: Iterable[str], source_of: Callable[[str], CaseSource]) -> Listing:
    """A listing of cases, in which one that lacks something is a failure.

    Args:
        ids: Of all cases.
        source_of: Gives the files of a case, or raises a `PEError`.
    """
    cases, errors = work_through(source_of, {case: case for case in ids}, quiet=True)
    return Listing(tuple(cases.values()), tuple(errors))


def cases_at(paths: Iterable[Path], source_of: Callable[[str, Path], CaseSource], what: str) -> Listing:
    """List one case a path, named by it.

    Args:
        paths: A folder or file a case.
        source_of: Gives the files of a case from its id and its path, or raises a `PEError`.
        what: What was looked for and where, for the message when there is none.

    Raises:
        InputError: PE-IN-001 if there is no case, PE-IN-004 if two would have one id.
    """
    path_of: dict[str, Path] = {}
    for path in paths:
        other = path_of.setdefault(clean(stem(path)), path)
        if other != path:
            raise InputError("PE-IN-004", f"{other} and {path} would be the same case", "rename one of them")
    if not path_of:
        raise InputError("PE-IN-001", f"no {what}", "check the folder")
    return listing_of(path_of, lambda case: source_of(case, path_of[case]))


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
    errors: list[CaseFailure] = []
    if CASE in str(src):  # what stands for it names the scans
        path_of, root = match_cases(str(src)), fixed_part(src)
        found, errors = work_through(
            lambda case: one_scan(path_of[case], case, options), {case: case for case in path_of}, quiet=True
        )
        refs = {case: ref for case, ref in found.items() if (ref.kind == "dicom") == dicom}
        masks = CaseMasks(options, texts=case_texts(str(src), path_of))
    else:
        root = src if src.is_dir() else src.parent
        refs = {ref.case_id: ref for ref in scans_of(src, options) if (ref.kind == "dicom") == dicom}
        masks = CaseMasks(options, {ref.path.resolve() for ref in refs.values()})
        _require_apart(refs.values(), masks.files())
    if not refs and not errors:
        wanted, other = ("DICOM series", "nifti") if dicom else ("NIfTI, NRRD or MHA volume", "dicom")
        raise InputError("PE-IN-001", f"{src} holds no {wanted}", f"for the other formats: pe-nnunet convert {other}")
    listing = listing_of(
        refs, lambda case: masks.source(refs[case], Path(os.path.relpath(refs[case].path, root)).as_posix())
    )
    return replace(listing, errors=(*errors, *listing.errors))


def scans_of(path: Path, options: ConvertOptions) -> list[ScanRef]:
    """All scans in a folder or file; of a folder with several series the one that the options name."""
    found = find_scans(path, pick=options.pick, join_series=options.join_series, only=options.only)
    return [_named_series(ref, options) for ref in found] if options.series_uids else found


def _named_series(ref: ScanRef, options: ConvertOptions) -> ScanRef:
    if ref.kind != "dicom" or ref.series_uid is not None:
        return ref
    for uid in options.series_uids:
        with suppress(InputError):  # PE-DCM-024: the series of another case
            return replace(find_scans(ref.path, series_uid=uid, only=options.only)[0], case_id=ref.case_id)
    return ref  # reading it says which there are


def _where_looked(lookup: MaskLookup | None, case: str, option: str) -> str:
    return lookup.where_looked(case) if lookup else f"the source has none, and {option} was not given"


def _require_apart(refs: Iterable[ScanRef], masks: AbstractSet[Path]) -> None:
    """Masks that lie among the scans of a folder are taken for scans; by patterns they can be told apart."""
    for ref in refs:
        if ref.path.resolve() in masks:
            raise ConfigurationError(
                "PE-CONV-004",
                f"{ref.path} would be a scan as well as a mask",
                f"name scans and masks by patterns, such as 'data/{CASE}/image.nii.gz'",
            )
