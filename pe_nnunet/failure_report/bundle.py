"""Gather the bundle of a failing case and write it as one zip file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.failure_report.case_texts import (
    cleaned_command,
    error_entries,
    error_lists,
    log_lines,
    names_of_case,
    written_record,
)
from pe_nnunet.failure_report.identifiers import Identifiers
from pe_nnunet.failure_report.source_files import BundledFile, bundled, collect_identifiers, files_of
from pe_nnunet.files import atomic_path
from pe_nnunet.registration.doctor import examine
from pe_nnunet.volumes.case_names import hashed

RECORD, READ_ME = "case.json", "READ_ME.txt"
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # when files were written may be when a patient was there


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What a bundle is made of.

    Attributes:
        source: What failed: a file, or the folder of one case.
        pixels: Whether pixels and voxels go along.
        errors: The `errors.json` of the run.
        output_of: What the run wrote, where `errors.json` and the manifest of the case are looked for.
        log: What the run printed.
        command: The command that failed.
        case: What results call the case; found from the source's path if empty.
    """

    source: Path
    pixels: bool = False
    errors: Path | None = None
    output_of: Path | None = None
    log: Path | None = None
    command: str = ""
    case: str = ""


@dataclass(frozen=True)
class Member:
    """A file in the bundle: its name, its bytes, and what a person should know before sending it."""

    name: str
    content: bytes
    warnings: tuple[str, ...] = ()


def members(request: ReportRequest) -> Iterator[Member]:
    """The files of a bundle, one after another; the record of them all and the page to read come last.

    Raises:
        InputError: PE-IN-001, PE-IN-002 or PE-REP-001 for the source, PE-REP-003 for what the run wrote.
        MissingExtraError: PE-REP-004 for DICOM without dicom-anonymizer.
    """
    files = files_of(request.source)
    identifiers = collect_identifiers(request.source, files)
    identifiers.add_case(*([request.case] if request.case else ()))
    said = _said(request, identifiers)  # before the files: a wrong option is known at once
    facts: list[dict[str, Any]] = []
    for number, path in enumerate(files, 1):
        file = bundled(path, number, identifiers, pixels=request.pixels)
        facts.append(_facts(file, number))
        if file.name:
            yield Member(file.name, file.content, file.warnings)
    record = {"case": identifiers.hashed(request.source.resolve().name), **said, "files": facts}
    yield Member(RECORD, _json(record))
    yield Member("environment.json", _json(identifiers.hidden(examine().to_dict())))
    yield Member(READ_ME, _read_me(facts, pixels=request.pixels).encode())


def write_bundle(request: ReportRequest, path: Path) -> list[Member]:
    """Write the bundle of a case.

    Args:
        request: What it is made of.
        path: Ends in .zip, and is not there yet.

    Returns:
        What is in it; of files of the case without their bytes.

    Raises:
        InputError: As `members`.
        OutputError: PE-REP-002 for a path that is there already or ends otherwise, PE-OUT-001 if it cannot be written.
    """
    if path.suffix.lower() != ".zip" or path.exists():
        what = "is there already" if path.exists() else "does not end in .zip"
        raise OutputError("PE-REP-002", f"{path} {what}", "choose another name with -o")
    written: list[Member] = []
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members(request):
            entry = zipfile.ZipInfo(member.name, _NO_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.content)
            written.append(
                Member(member.name, b"" if member.name.startswith("files/") else member.content, member.warnings)
            )
    return written


def _said(request: ReportRequest, identifiers: Identifiers) -> dict[str, Any]:
    """What the run said of the case, without what tells whose it is."""
    for name in names_of_case(request.source):
        identifiers.add_case(name)
    said: dict[str, Any] = {}
    if request.command:
        said["command"] = cleaned_command(request.command, identifiers)
    lists = [request.errors] if request.errors else error_lists(request.output_of) if request.output_of else []
    record = written_record(request.output_of, request.source, request.case) if request.output_of else None
    if request.output_of and not lists and record is None:
        hint = "name what predict-fused or convert wrote"
        raise InputError("PE-REP-003", f"{request.output_of} holds no errors.json and no record of the case", hint)
    case = request.case
    called = {case, hashed(case)} if case else names_of_case(request.source, own=True)
    if lists and record is None:
        entries = error_entries(lists, request.source, case)
        said["errors"] = identifiers.hidden(entries)
        called.update(str(entry["case"]) for entry in entries)
    if record is not None:
        said["record"] = identifiers.hidden(record)
        if "case" in record:
            called.add(str(record["case"]))
    if request.log is not None:
        said["log"] = log_lines(request.log, request.source, called, identifiers)
    return said


def _facts(file: BundledFile, number: int) -> dict[str, Any]:
    warned = {"warnings": list(file.warnings)} if file.warnings else {}
    return {"number": number, "in_bundle": file.name or None} | file.facts | warned


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, default=str) + "\n").encode()


def _read_me(facts: list[dict[str, Any]], *, pixels: bool) -> str:
    kinds = [str(fact["kind"]) for fact in facts]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return (
        f"A failing case of pe-nnunet: {counts}.\n\n"
        "Headers were cleaned by the basic profile of DICOM PS3.15 Annex E; all other free text, private elements and\n"
        "names of files were removed, UIDs replaced, dates made one constant. "
        f"{'Pixels are in it' if pixels else 'No pixels are in it'}.\n"
        "No program finds everything. A person must look at each file here before it is sent.\n\n"
        f"{RECORD}: what the run said, and the facts of every file\n"
        "environment.json: versions and devices, as `pe-nnunet doctor --json` prints them\n"
        "files/: cleaned files; `.header` is the header of a volume without its voxels\n"
    )
