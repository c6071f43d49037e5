"""Which cases are kept out of training for the test, and the check that none of their patients is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.options import ConvertOptions
from pe_nnunet.dataset_conversion.published import Published
from pe_nnunet.dataset_conversion.sources import Listing
from pe_nnunet.errors import ConfigurationError, Note


def with_test_cases(listing: Listing, options: ConvertOptions, published: Published | None) -> Listing:
    """Mark the test cases of a listing.

    Args:
        listing: All cases of a source.
        options: Which cases are for the test.
        published: Of the dataset, if it is a public one.

    Raises:
        ConfigurationError: PE-CONV-024 if named cases do not exist, there is no published test set, or nothing would
            be left to train on.
    """
    require_known(listing, options.test, "PE-CONV-024", "test cases")
    test = options.test
    if options.published_test:
        if published is None or not published.test:
            raise ConfigurationError(
                "PE-CONV-024", "this source has no published test set", "give --test a file of case ids"
            )
        test |= published.test
    if listing.cases and all(case.case_id in test for case in listing.cases):
        raise ConfigurationError("PE-CONV-024", "every case is a test case", "leave some to train on")
    return replace(listing, cases=tuple(replace(case, test=case.case_id in test) for case in listing.cases))


def require_known(listing: Listing, named: frozenset[str], code: str, what: str) -> None:
    """Refuse case ids that the source does not have.

    Args:
        listing: Of the source; a case that failed is known too.
        named: Case ids.
        code: Of the error.
        what: What the cases were named as.

    Raises:
        ConfigurationError: With that code.
    """
    known = {case.case_id for case in listing.cases} | {error.case_id for error in listing.errors}
    unknown = sorted(named - known)
    if unknown:
        raise ConfigurationError(
            code,
            f"{len(unknown)} of the {what} do not exist: {', '.join(unknown[:5])}",
            f"the cases are {', '.join(sorted(known)[:5])}{', ...' if len(known) > 5 else ''}",
        )


def patients_of(records: Mapping[str, CaseRecord]) -> dict[str, str]:
    """The patient of each case: scans of one PatientID are of one, and so is one scan that lies there twice."""
    same: dict[str, str] = {}

    def first(key: str) -> str:
        while same.setdefault(key, key) != key:
            key = same[key]
        return key

    for case in sorted(records):
        record = records[case]
        same[first(f"image {record.sha256['image']}")] = first(record.patient)
    return {case: first(record.patient) for case, record in records.items()}


def twice_noted(records: Mapping[str, CaseRecord]) -> list[Note]:
    """A warning where one scan lies in the source under several names."""
    cases: dict[str, list[str]] = {}
    for case in sorted(records):
        cases.setdefault(records[case].sha256["image"], []).append(case)
    twice = [" = ".join(names) for names in cases.values() if len(names) > 1]
    if not twice:
        return []
    text = f"the same scan under several names, kept on one side of each fold: {', '.join(twice[:8])}"
    return [Note("PE-CONV-038", "warning", text)]


def require_no_leakage(records: Mapping[str, CaseRecord]) -> dict[str, CaseRecord]:
    """The training cases, if no patient is on both sides.

    Raises:
        ConfigurationError: PE-CONV-024 if a test patient has training scans as well, or no training case was converted.
    """
    training = {case: record for case, record in records.items() if not record.test}
    if not training:
        raise ConfigurationError("PE-CONV-024", "no training case could be converted", "see the errors above")
    patient = patients_of(records)
    trained_on = {patient[case] for case in training}
    leaks = sorted(case for case, record in records.items() if record.test and patient[case] in trained_on)
    if leaks:
        raise ConfigurationError(
            "PE-CONV-024",
            f"the patients of {len(leaks)} test cases have training scans as well: {', '.join(leaks[:5])}",
            "put all scans of a patient on one side; --resume keeps what is done",
        )
    return training
