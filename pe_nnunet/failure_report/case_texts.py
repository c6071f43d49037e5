"""What a run said of the case: its line in errors.json, its manifest or record, the lines of a log, the command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

from pe_nnunet.cases.output_folder import ERRORS, output_folder
from pe_nnunet.dataset import raw
from pe_nnunet.errors import InputError
from pe_nnunet.failure_report.identifiers import Identifiers
from pe_nnunet.files.json_reader import MALFORMED, read_json
from pe_nnunet.volumes.case_names import hashed
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.find import GENERIC_NAMES, clean

MOST_LINES, LONGEST_LINE = 2000, 2000
_DEEPEST = 6  # folders above a case that its name may be made of
_SHORTEST = 3  # letters of a name that no word or unit is likely to be


def names_of_case(source: Path, *, own: bool = False) -> set[str]:
    """What results may call a case: parts of its path, in their order, joined as `case_ids` joins them; and hashes.

    Args:
        source: The case.
        own: Only names with the last part that says something, as `ct` does not: the parts above stand in the paths of
            other cases too.
    """
    parts = list(source.resolve().parts[1:][-_DEEPEST:]) or [""]  # without the root
    ending = len(image_suffix(source)) or (len(source.suffix) if source.is_file() else 0)
    parts[-1] = parts[-1][: len(parts[-1]) - ending].removesuffix("_0000")
    telling = max((n for n, part in enumerate(parts) if part.lower() not in GENERIC_NAMES), default=len(parts) - 1)
    chosen = (some for k in range(1, len(parts) + 1) for some in combinations(range(len(parts)), k))
    names = {clean("_".join(parts[n] for n in some)) for some in chosen if telling in some or not own}
    return names | {hashed(name) for name in names}


def error_entries(paths: Iterable[Path], source: Path, case: str = "") -> list[dict[str, Any]]:
    """The entries of a case in lists of failed cases.

    Args:
        paths: `errors.json` of a run, or of its parts.
        source: The case.
        case: What results call it; found from the source's path if empty.

    Raises:
        InputError: PE-REP-003 if a list cannot be read, holds no such case, or several that could be it.
    """
    found: list[dict[str, Any]] = []
    wanted = {case, hashed(case)} if case else names_of_case(source)
    for path in paths:
        try:
            rows = [dict(row) for row in read_json(path)]
            found += [row for row in rows if str(row["case"]) in wanted]
        except MALFORMED as error:
            hint = "name the errors.json that the run wrote"
            raise InputError("PE-REP-003", f"{path} is no list of failed cases: {error}", hint) from error
    if len({str(row["case"]) for row in found}) != 1:
        hint = "name it with --case, as `case` in errors.json has it"
        raise InputError("PE-REP-003", f"{len(found)} failed cases could be {source}, expected one", hint)
    return found


def error_lists(folder: Path) -> list[Path]:
    """The lists of failed cases in what predict-fused, detect or convert wrote."""
    here = [folder / ERRORS, folder / raw.ERRORS, *sorted(folder.glob(f"part_*_of_*/{ERRORS}"))]
    return [path for path in here if path.is_file()]


def written_record(folder: Path, source: Path, case: str = "") -> dict[str, Any] | None:
    """The manifest of a case that a prediction wrote, or its record in a converted dataset; None if there is neither.

    Raises:
        InputError: PE-REP-003 if it cannot be read, or several cases there, also failed ones, could be it.
    """
    wanted = {case, hashed(case)} if case else names_of_case(source)
    paths = {name: output_folder(folder).of(name) / f"{name}.json" for name in sorted(wanted)}
    found = {name: path for name, path in paths.items() if path.is_file()}
    at = next(iter(found.values()), folder / raw.CASES)
    record: dict[str, Any] | None = None
    try:
        if found:
            record = {key: value for key, value in read_json(at).items() if key not in {"source", "files"}}
        else:
            records = read_json(at)["cases"] if at.is_file() else {}
            found = dict.fromkeys(sorted(wanted & set(records)), at)
            record = next((dict(records[name]) for name in found), None)
        names = set(found)
        for at in error_lists(folder) if found else ():
            names |= {str(row["case"]) for row in read_json(at)} & wanted
    except MALFORMED as error:
        hint = "leave --output-of out, or repair it"
        raise InputError("PE-REP-003", f"{at} cannot be read: {error}", hint) from error
    if len(names) > 1 and not case:
        hint = "name it with --case, as results call it"
        raise InputError("PE-REP-003", f"{len(names)} cases in {folder} could be {source}, expected one", hint)
    return record


def log_lines(path: Path, source: Path, names: Iterable[str], identifiers: Identifiers) -> list[str]:
    """The last lines of a log that speak of a case, without what tells whose it is.

    Lines that speak of other cases alone stay out, as only what tells this one is known.

    Args:
        path: The log.
        source: The case.
        names: What the run called it, or may have.
        identifiers: Of the case.

    Raises:
        InputError: PE-REP-003 if the log cannot be read.
    """
    own = source.name not in {"", ".."} and len(source.parts) > 1  # not `.`, `../..` or `ct` alone
    paths = {str(source.resolve()), *([str(source)] if own else [])}
    texts = [*map(_as_name, names), *(rf"(?<![\w-]){re.escape(path)}(?![\w-]|\.\w)" for path in paths)]
    tells = re.compile("|".join(texts))
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = [line[:LONGEST_LINE] for line in file if tells.search(line)]
    except OSError as error:
        raise InputError("PE-REP-003", f"{path} cannot be read: {error.strerror}", "check the path") from error
    return [identifiers.hide(line) for line in lines[-MOST_LINES:]]


def _as_name(name: str) -> str:
    """A pattern of a name where a case is called by it: not in a path, which others may share; a number before `:`."""
    if name.isdigit() or len(name) < _SHORTEST:
        return rf"(?<!\S){re.escape(name)}(?=:\s)"  # not `[7/20]`, `7 s`
    return rf"(?<![\w/\\-]){re.escape(name)}(?![\w/\\-])"


def cleaned_command(command: str, identifiers: Identifiers) -> str:
    """A command whose options stay, and whose paths are cut to their last part.

    Raises:
        InputError: PE-REP-003 if its quotes do not close.
    """
    try:
        words = shlex.split(command, posix=True)
    except ValueError as error:
        raise InputError(
            "PE-REP-003", f"--command cannot be parted: {error}", "put the whole command in quotes"
        ) from error
    cut = []
    for word in words:
        option, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
        is_path = "/" in value or "\\" in value or bool(image_suffix(Path(value)))
        cut.append(option + sign + (identifiers.last_part(value) if is_path else value))
    return " ".join(identifiers.hide(word) for word in cut)
