"""Which file belongs to a case: in a folder of masks, or by a pattern with `{case}`."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from pe_nnunet.cases.output_folder import output_folder
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes.files.image_writer import SEGMENTATION_SUFFIX, image_suffix
from pe_nnunet.volumes.find import clean

CASE = "{case}"
_WILDCARDS = {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}


class MaskLookup:
    """Finds the mask of a case.

    Args:
        where: A folder, in which `CASE.<suffix>`, a subfolder `CASE` with one mask in it, or a file whose path joined
            by `_` is the case id is looked for, in an image format or as `.dcm`; or a pattern such as
            `masks/{case}*RefStd.nrrd`, in which `*`, `?` and `**/` match as in a shell.
        what: What the masks are, for messages: "embolus label".
        scans: Files that are scans; one of them that lies beside a `.seg.nrrd` of its name, as 3D Slicer saves
            segmentations, is no mask of the case.
        texts: What `{case}` stands for in a pattern, by case id, where it is not the id itself: see `case_texts`.

    Raises:
        ConfigurationError: If the folder does not exist.
    """

    def __init__(
        self, where: str, what: str, scans: AbstractSet[Path] = frozenset(), texts: Mapping[str, str] | None = None
    ) -> None:
        self._where, self._what, self._texts = where, what, texts or {}
        self._index: dict[str, list[Path]] = {}
        if CASE not in where:
            if not Path(where).is_dir():
                raise ConfigurationError(
                    "PE-IN-002", f"no folder {where} with {what}s", f"name a folder, or a pattern with {CASE} in it"
                )
            folders = output_folder(Path(where)).folders()  # one, but for results of many cases
            found = (pair for folder in folders for pair in _index_folder(folder).items())
            self._index = {case: _masks(paths, scans) for case, paths in found}

    def find(self, case_id: str) -> Path | None:
        """The mask of a case, or None.

        Raises:
            InputError: If several files could be it.
        """
        if CASE in self._where:
            text = glob.escape(self._texts.get(case_id, case_id))
            pattern = _escape_brackets(self._where).replace(CASE, text)
            found = [Path(name) for name in _matches(pattern)]
        else:
            found = self._index.get(case_id, [])
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:4])
            raise InputError(
                "PE-CONV-006",
                f"{len(found)} files could be the {self._what}: {names}",
                f"name them by a pattern with {CASE}",
            )
        return found[0] if found else None

    def files(self) -> set[Path]:
        """All masks there, of whatever case."""
        if CASE in self._where:
            return {Path(name) for name in _matches(_escape_brackets(self._where).replace(CASE, "*"))}
        return {path for paths in self._index.values() for path in paths}

    def where_looked(self, case_id: str) -> str:
        """Says what was looked for, for the message about a mask that is not there."""
        if CASE in self._where:
            return f"nothing matches {self._where}"
        return f"neither {case_id}.* nor a folder {case_id} with one mask lies in {self._where}"


def match_cases(pattern: str) -> dict[str, Path]:
    """Scans that match a pattern, by the text that stands for `{case}`, cleaned.

    Args:
        pattern: A path in which `{case}` stands for the name of a file or folder, or a part of it, and where it occurs
            again for the same text; `*`, `?` and `**/` match as in a shell.

    Raises:
        InputError: If nothing matches, or two files would be the same case.
    """
    found: dict[str, Path] = {}
    for name in _matches(_escape_brackets(pattern).replace(CASE, "*")):
        text = _text(pattern, Path(name))
        if not text or image_suffix(Path(name)) == SEGMENTATION_SUFFIX:  # a label, never a scan
            continue
        case_id = clean(text)
        if case_id in found:
            raise InputError(
                "PE-IN-004",
                f"{found[case_id]} and {name} would both be case {case_id!r}",
                "name the cases by a narrower pattern",
            )
        found[case_id] = Path(name)
    if not found:
        raise InputError("PE-IN-001", f"nothing matches {pattern}", "check the pattern: {case} stands for one name")
    return found


def case_texts(pattern: str, scans: Mapping[str, Path]) -> dict[str, str]:
    """What `{case}` stands for, by case id, which is that text cleaned.

    Args:
        pattern: See `match_cases`.
        scans: What that found.
    """
    return {case: _text(pattern, path) for case, path in scans.items()}


def fixed_part(pattern: Path | str) -> Path:
    """The folder of a pattern above its first wildcard; what is no pattern stays as it is."""
    text = str(pattern)
    if CASE not in text:
        return Path(pattern)
    first = min(text.find(sign) for sign in (CASE, "*", "?") if sign in text)
    return Path(text[:first] + "x").parent


def _index_folder(root: Path) -> dict[str, list[Path]]:
    """Masks by the case id that they could belong to: that of their own path before that of the folder they lie in."""
    by_path: dict[str, list[Path]] = defaultdict(list)
    by_folder: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        suffix = image_suffix(path) or (path.suffix if path.suffix.lower() == ".dcm" else "")
        if not suffix or path.name.startswith("."):
            continue
        *folders, name = path.relative_to(root).parts
        by_path[clean("_".join((*folders, name[: -len(suffix)])))].append(path)
        if folders:
            by_folder[clean("_".join(folders))].append(path)
    return {**by_folder, **by_path}


def _masks(paths: list[Path], scans: AbstractSet[Path]) -> list[Path]:
    """The files of a case without its scan, where a segmentation of 3D Slicer lies beside it."""
    if not any(image_suffix(path) == SEGMENTATION_SUFFIX for path in paths):
        return paths
    return [path for path in paths if path.resolve() not in scans]


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern


def _escape_brackets(pattern: str) -> str:
    return pattern.replace("[", "[[]")  # a folder may be called "scans [2020]"; character classes are not offered


def _text(pattern: str, path: Path) -> str:
    """What `{case}` stands for in a path, without the channel of nnU-Net's names; empty if the path does not match."""
    match = re.fullmatch(_as_expression(pattern), path.as_posix())
    return match["case"].removesuffix("_0000") if match else ""


def _as_expression(pattern: str) -> str:
    parts = re.split(r"(\{case\}|\*\*/|\*|\?)", Path(pattern).as_posix())
    first = parts.index(CASE)
    expression = [r"(?P=case)" if part == CASE else _WILDCARDS.get(part, re.escape(part)) for part in parts]
    expression[first] = r"(?P<case>[^/]+)"
    return "".join(expression)
