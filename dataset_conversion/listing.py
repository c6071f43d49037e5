"""The cases of a source as a conversion takes them: what the options name must be there, and no link lead nowhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.patterns import CASE, fixed_part
from pe_nnunet.dataset_conversion.privacy import with_hashed_names, without_refused_names
from pe_nnunet.dataset_conversion.public_dataset import Published
from pe_nnunet.dataset_conversion.registry import published, source_kind
from pe_nnunet.dataset_conversion.sources import Listing
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.volumes.case_names import names_hidden
from pe_nnunet.volumes.find import clean


def list_cases(kind: str, src: Path, options: ConvertOptions) -> Listing:
    """The cases of a source and their files, as a conversion would take them; no volume is read.

    Raises:
        ConfigurationError: If cases listed as negative or as test cases do not exist, or a public dataset's names were
            to be hashed.
        InputError: If the source holds no case.
    """
    if options.hash_names and published(kind) is not None:
        raise ConfigurationError("PE-CONV-004", "names of a public dataset are not hashed", "leave --hash-names out")
    with names_hidden(fixed_part(src), hide=options.hash_names):
        listing = add_broken_links(Path(src), source_kind(kind).find_cases(Path(src), options))
    require_known(listing, options.negatives, "PE-CONV-010", "cases listed as negative")
    listing = mark_test_cases(listing, options, published(kind))
    return with_hashed_names(Path(src), listing) if options.hash_names else without_refused_names(listing)


def part_of(listing: Listing, options: ConvertOptions) -> Listing:
    """The cases, and errors, of the part that the options name."""
    if options.part_id is None:
        return listing
    part = slice(options.part_id, None, options.num_parts)
    return replace(listing, cases=listing.cases[part], errors=listing.errors[part])


def add_broken_links(src: Path, listing: Listing) -> Listing:
    """A listing with an error for each broken link below the source, hidden ones apart.

    Args:
        src: The source folder; below a pattern with `{case}` nothing is looked for, as what it matches is read.
        listing: Its cases.
    """
    if CASE in str(src) or not src.is_dir():
        return listing
    named = {error.case_id for error in listing.errors}
    found = [
        CaseFailure(
            clean("_".join(link.relative_to(src).parts)),
            "PE-CONV-033",
            f"{link.relative_to(src)} is a link to {link.readlink()}, which is not there",
            "restore what it leads to, or remove it",
        )
        for link in _broken(src)
    ]
    return replace(listing, errors=(*listing.errors, *(error for error in found if error.case_id not in named)))


def mark_test_cases(listing: Listing, options: ConvertOptions, published: Published | None) -> Listing:
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
        more = ", ..." if len(known) > 5 else ""
        raise ConfigurationError(
            code,
            f"{len(unknown)} of the {what} do not exist: {', '.join(unknown[:5])}",
            did_you_mean(unknown[0], known, f"the cases are {', '.join(sorted(known)[:5])}{more}"),
        )


def _broken(src: Path) -> list[Path]:
    found = []
    for name, folders, files in os.walk(src):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        paths = [Path(name, entry) for entry in (*folders, *files) if not entry.startswith(".")]
        found += [path for path in paths if path.is_symlink() and not path.exists()]
    return sorted(found)
