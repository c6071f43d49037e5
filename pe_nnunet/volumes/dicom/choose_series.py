"""Which of the DICOM slices found together are one scan: those of one series, unless something else is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydicom.datadict import tag_for_keyword

from pe_nnunet.errors import ConfigurationError, InputError, Note
from pe_nnunet.volumes.dicom.headers import FileHeader, Only, ct_series, plain
from pe_nnunet.volumes.scan import ScanRef

SMALL_SERIES = 4  # fewer slices than this are no volume, and many such series are one that lost its UID
LISTED = 5  # series, at most, in a message

Series = dict[str, list[FileHeader]]


def choose_series(ref: ScanRef, headers: Iterable[FileHeader]) -> tuple[list[FileHeader], list[Note]]:
    """Pick the slices of the series that a reference means.

    Args:
        ref: From `find_scans`.
        headers: Of all its files that are DICOM.

    Returns:
        The CT slices of one series, one patient and one study, and what was left out of that series.

    Raises:
        InputError: PE-DCM-008 no CT slices, PE-DCM-035 none that was asked for, PE-DCM-020 several patients or studies,
            PE-DCM-005 several series, PE-DCM-033 a series for every slice.
    """
    everything = list(headers)
    found = wanted_of(everything, ref.only)
    if ref.series_uid is not None:
        found = [header for header in found if header.series_uid == ref.series_uid]
    series = ct_series(found)
    members = [header for of_one in series.values() for header in of_one]
    if not members:
        raise _nothing(ref, everything if ref.only else found)
    for name, values in (("patients", [h.patient_key for h in members]), ("studies", [h.study_uid for h in members])):
        if len(set(values)) > 1 and not (ref.joined and name == "studies" and _lost(values)):
            raise InputError(
                "PE-DCM-020",
                f"{ref.case_id}: {ref.path} mixes {len(set(values))} {name}, expected one",
                "put each into a folder of its own" + (", or choose with --series-uid" if len(series) > 1 else ""),
            )
    apart = join_small(series) if ref.joined else series
    if len(apart) > 1:
        raise _several(ref, apart)
    if len(series) > 1:
        text = f"{len(series)} series of under {SMALL_SERIES} slices joined to one of {len(members)} by what they share"
        return members, [Note("PE-DCM-034", "warning", text)]
    uid = members[0].series_uid
    dropped = Counter(header.kind for header in found if header.series_uid == uid and not header.is_ct_slice)
    listed = ", ".join(f"{n} {kind}" for kind, n in dropped.most_common())
    return members, [Note("PE-DCM-006", "repaired", f"left out of the series: {listed}")] if dropped else []


def _nothing(ref: ScanRef, found: Sequence[FileHeader]) -> InputError:
    slices = [header for header in found if header.is_ct_slice]
    if slices:
        asked = ", ".join(f"{keyword}={value}" for keyword, value in ref.only)
        listed = "; ".join(
            f"{keyword} {_counted(h.asked[k] or 'none' for h in slices)}" for k, (keyword, _) in enumerate(ref.only)
        )
        return InputError(
            "PE-DCM-035",
            f"{ref.case_id}: none of {len(slices)} CT slices in {ref.path} has {asked}, found {listed}",
            "give --only a value that is there, or leave it out",
        )
    kinds = Counter(header.kind for header in found).most_common()
    listed = ", ".join(f"{n} {kind}" for kind, n in kinds) or "nothing readable"
    return InputError(
        "PE-DCM-008",
        f"{ref.case_id}: no CT slices in {ref.path}, found {listed}",
        "give the folder of the CT series",
    )


def _several(ref: ScanRef, series: Series) -> InputError:
    listed = "; ".join(
        f"{uid} ({len(of)} files, {of[0].description or 'untitled'})" for uid, of in list(series.items())[:LISTED]
    )
    more = f"; and {len(series) - LISTED} more" if len(series) > LISTED else ""
    small = sum(map(is_small, series.values()))
    if not ref.joined and small > 1 and 2 * small >= len(series):
        return InputError(
            "PE-DCM-033",
            f"{ref.case_id}: {len(series)} CT series in {ref.path}, {small} of them of under {SMALL_SERIES} slices, "
            "expected one series",
            "if each slice got a SeriesInstanceUID of its own, --join-series takes them for one; else choose one with "
            "--series-uid UID",
        )
    joined = ", once those of few slices are joined" if ref.joined else ""
    return InputError(
        "PE-DCM-005",
        f"{ref.case_id}: {len(series)} CT series in {ref.path}{joined}, expected one: {listed}{more}",
        "choose one with --series-uid UID, --pick largest-ct or --only KEYWORD=VALUE",
    )


def is_small(series: Sequence[FileHeader]) -> bool:
    """Whether a series has too few slices to be a scan."""
    return len(series) < SMALL_SERIES


def join_small(series: Mapping[str, list[FileHeader]]) -> Series:
    """Take small series for one where patient, study, geometry and kernel agree; the others stay as they are.

    Frame of reference and study count unless every slice has its own, which is that loss of UIDs again.

    Args:
        series: CT slices by SeriesInstanceUID.

    Returns:
        Slices by the first SeriesInstanceUID among them.
    """
    small = [header for of in series.values() if is_small(of) for header in of]
    lost_frames, lost_studies = _lost([h.shared[0] for h in small]), _lost([h.study_uid for h in small])
    groups: dict[tuple[str, ...], list[FileHeader]] = {}
    for header in small:
        shared = header.shared[1:] if lost_frames else header.shared
        study = "" if lost_studies else header.study_uid
        groups.setdefault((header.patient_key, study, *shared), []).append(header)
    joined = {of[0].series_uid: of for of in groups.values()}
    return dict(sorted({**{uid: of for uid, of in series.items() if not is_small(of)}, **joined}.items()))


def _lost(uids: Sequence[str]) -> bool:
    """Whether every slice has a UID of its own that slices of one scan share: an anonymiser has renewed them all."""
    return len(uids) > 1 and len(set(uids)) == len(uids)


def parse_only(texts: Iterable[str]) -> Only:
    """`KEYWORD=VALUE` as keyword and value.

    Raises:
        ConfigurationError: PE-DCM-036 if it is none, or DICOM has no such element.

    Example:
        >>> parse_only(["ConvolutionKernel=B30f", "AcquisitionNumber=02"])
        (('ConvolutionKernel', 'B30f'), ('AcquisitionNumber', '2'))
    """
    found = []
    for text in texts:
        keyword, _, value = text.partition("=")
        if not keyword.strip() or not value.strip() or tag_for_keyword(keyword.strip()) is None:
            raise ConfigurationError(
                "PE-DCM-036",
                f"--only {text!r} is no DICOM element and value",
                "for example --only ConvolutionKernel=B30f, or AcquisitionNumber=1",
            )
        found.append((keyword.strip(), plain(value)))
    return tuple(found)


def wanted_of(headers: Sequence[FileHeader], only: Only) -> list[FileHeader]:
    """The headers but for CT slices that have other values."""
    values = [value.lower() for _, value in only]
    return [h for h in headers if [v.lower() for v in h.asked] == values or not h.is_ct_slice]


def _counted(values: Iterable[str]) -> str:
    return ", ".join(f"{value} ({n})" for value, n in Counter(values).most_common(LISTED))
