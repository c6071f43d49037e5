"""What predict-fused wrote: every file as its case's manifest says, and the tables of the run as the manifests say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pe_nnunet.cases import CaseLimits, work_through
from pe_nnunet.cases.output_folder import ERRORS, LAYOUT, OutputFolder, output_folder
from pe_nnunet.errors import PEError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.outputs.cohort_files import PAGE, SUMMARY, SUMMARY_COLUMNS, CaseSummary, read_case_summary
from pe_nnunet.outputs.results_index import INDEX
from pe_nnunet.outputs.writers import WRITERS
from pe_nnunet.verification.failed_cases import failed_cases
from pe_nnunet.verification.findings import Checked, Finding, compare_hashes, disagree
from pe_nnunet.verification.run_tables import table_findings
from pe_nnunet.verification.whole_files import heading, whole_findings

KIND = "predictions"
_TOLERANCE_MM = 1e-3
_ALWAYS = {"emboli", "table", "picture", "report"}  # kinds that every case has where they are asked for


def is_kind(folder: Path) -> bool:
    """Whether predict-fused wrote into this folder."""
    if (folder / LAYOUT).is_file():
        return True
    return heading(folder / SUMMARY) == ",".join(SUMMARY_COLUMNS) or any(map(_says_manifest, folder.glob("*.json")))


def _says_manifest(path: Path) -> bool:
    try:
        return {"case", "pe_score", "files"} <= read_object(path).keys()
    except MALFORMED:
        return False


def check(folder: Path, limits: CaseLimits | None) -> Checked:
    """Compare manifests, files and tables."""
    output = output_folder(folder)
    folders = output.folders()
    jsons = (path for one in folders for path in sorted(one.glob("*.json")) if path.is_file())
    manifests = {path.stem: path for path in jsons if _is_manifest(path)}
    results, lost = work_through(partial(_check_case, output), manifests, limits=limits, quiet=True)
    found = [finding for _, _, findings in results.values() for finding in findings]
    found += [Finding.of(failure) for failure in lost]
    failed, of_failures = failed_cases([folder / ERRORS, *sorted(folder.glob(f"part_*_of_*/{ERRORS}"))])
    found += of_failures
    found += [
        disagree(f"{folder / ERRORS} says that {case} failed, and {case}.json is there, of an earlier run")
        for case in sorted(failed & manifests.keys())
    ]
    summaries = {case: row for case, (row, _, _) in results.items() if row is not None}
    unread = manifests.keys() - summaries.keys()
    found += table_findings(output, summaries, unread)
    asked = {kind for _, manifest, _ in results.values() for kind in _asked(manifest)}
    if "report" in asked:
        found += whole_findings(folder / PAGE) if (folder / PAGE).is_file() else [_missing(folder / PAGE)]
    known = {folder / name for name in (SUMMARY, ERRORS, PAGE, LAYOUT)} | {*manifests.values()}
    known |= {path for path in folder.glob(f"{INDEX}/*.parquet") if output.indexed}
    known |= {manifests[case].parent / name for case, (_, own, _) in results.items() for name in _names(own)}
    for case in unread:  # whose files nobody can tell from others
        named = _names({"files": {kind: writer.name(case) for kind, writer in WRITERS.items()}})
        known |= {manifests[case].parent / name for name in named}
    for one in folders:
        stock = one / WRITERS["nnunet"].folder
        if stock.is_dir() or ("nnunet" in asked and not output.digits):
            found += _stock_findings(stock)
            known |= {stock / name for name in ("plans.json", "dataset.json")}
    within = [*{folder, *folders}, *(one / WRITERS["nnunet"].folder for one in folders)]
    for one in sorted(filter(Path.is_dir, within)):
        others = [path for path in sorted(one.iterdir()) if not path.name.startswith(".") and path not in known]
        found += [_unrecorded(path) for path in others if not (path.is_dir() and _is_ours(path, output))]
    return Checked(folder, KIND, sum(path.is_file() for path in known), found)


def _is_manifest(path: Path) -> bool:
    """Whether a record is that of a case, also one that is damaged; detections have a record of their own."""
    if path.name in {ERRORS, LAYOUT}:
        return False
    try:
        return "lps_grid" not in read_object(path)
    except MALFORMED:
        return not path.name.endswith(WRITERS["detections"].suffix)


def _asked(manifest: Mapping[str, Any]) -> set[str]:
    asked = manifest.get("asked_for", ())
    return {str(kind) for kind in asked} if isinstance(asked, list) else set()


def _names(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The names of a case's files, with those that are written beside them."""
    files = manifest.get("files", {})
    for kind, name in files.items() if isinstance(files, Mapping) else ():
        yield str(name)
        writer = WRITERS.get(kind)
        if writer is not None:
            yield from (str(name).removesuffix(writer.suffix) + suffix for suffix in writer.beside)


def _check_case(output: OutputFolder, path: Path) -> tuple[CaseSummary | None, Mapping[str, Any], list[Finding]]:
    """The line of a case, its manifest, and what is not as the manifest says; in a process of its own."""
    try:
        summary, manifest = read_case_summary(path), read_object(path)
        if summary.case_id != path.stem:
            return summary, manifest, [disagree(f"{path} is the manifest of the case {summary.case_id}")]
        folder = path.parent
        if folder != output.of(path.stem):
            return summary, manifest, [disagree(f"{path} does not lie in the subfolder {output.below(path.stem)}")]
        files, hashes = {**manifest["files"]}, {**manifest.get("files_sha256", {})}
        own = {
            kind: folder / name
            for kind, name in files.items()
            if kind in WRITERS and name == WRITERS[kind].name(path.stem) and (folder / name).is_file()
        }
        found = _file_findings(folder, path, files, hashes, own)
        found += _number_findings(path, manifest, own)
    except PEError as error:
        return None, {}, [Finding.of(error)]
    except MALFORMED as error:
        return None, {}, [Finding("PE-OUT-012", "error", f"{path} is no manifest of a case: {why(error)}")]
    return summary, manifest, found


def _file_findings(
    folder: Path, path: Path, files: dict[str, Any], hashes: dict[str, Any], own: dict[str, Path]
) -> list[Finding]:
    from pe_nnunet.volumes.files.volume_file import file_sha256

    right = {kind: name for kind, name in files.items() if kind in WRITERS and name == WRITERS[kind].name(path.stem)}
    found = [
        disagree(f"{path} names {name!r} as its {kind}, which is no file of this case")
        for kind, name in files.items()
        if kind not in right
    ]
    if not hashes and own:
        found.append(Finding("PE-VER-009", "warning", f"{path} records no hashes: its files were read, not compared"))
        hashes = {kind: file_sha256(file) for kind, file in own.items()}
    lacking = sorted(_ALWAYS & _asked(read_object(path)) - files.keys())
    found += [disagree(f"{path} names no file of the kind {kind}, which was asked for") for kind in lacking]
    recorded = {name: hashes.get(kind, "") for kind, name in right.items()}
    found += compare_hashes(recorded, {files[kind]: file_sha256(file) for kind, file in own.items()}, str(path))
    beside = [folder / name for name in _names({"files": {kind: files[kind] for kind in own}})]
    found += [_missing(file) for file in beside if not file.is_file()]
    there = [*own.values(), *filter(Path.is_file, beside)]
    return [*found, *(finding for file in there for finding in whole_findings(file))]


def _number_findings(path: Path, manifest: Mapping[str, Any], own: dict[str, Path]) -> list[Finding]:
    """What manifest, label and tables say of one another."""
    import numpy as np
    import SimpleITK as sitk

    from pe_nnunet.detection.results import read_detections
    from pe_nnunet.outputs.emboli_table import read_emboli_csv
    from pe_nnunet.volumes.files.volume_file import read_file

    emboli, volumes = manifest["emboli"], [float(mm3) for mm3 in manifest["volumes_mm3"]]
    counts = {"volumes_mm3": len(volumes), "findings": len(manifest["findings"])}
    found = [
        disagree(f"{path} counts {emboli} emboli, and lists {n} {what}") for what, n in counts.items() if n != emboli
    ]
    if not math.isclose(sum(volumes), manifest["volume_mm3"], abs_tol=0.001 * (len(volumes) + 1)):
        found.append(
            disagree(f"{path}: volume_mm3 is {manifest['volume_mm3']}, and the volumes add up to {sum(volumes)}")
        )
    try:
        if "emboli" in own:
            image, _ = read_file(own["emboli"])
            ids = [n for n in np.unique(sitk.GetArrayViewFromImage(image)).tolist() if n]
            if len(ids) != emboli or ids != list(range(1, len(ids) + 1)):
                found.append(disagree(f"{path} counts {emboli} emboli, and {own['emboli'].name} holds {ids[:9]}"))
            grid = manifest["grid"]
            facts = ((image.GetSize(), grid["size_xyz"]), (image.GetSpacing(), grid["spacing_mm_xyz"]))
            if not all(np.allclose(a, b, atol=_TOLERANCE_MM) for a, b in facts):
                found.append(disagree(f"{path}: {own['emboli'].name} lies on another grid"))
        if "table" in own:
            rows = read_emboli_csv(own["table"])
            kept, most = sum(row.kept for row in rows), max((row.probability for row in rows), default=0.0)
            if (kept, len(rows)) != (emboli, manifest["candidates"]) or abs(most - manifest["pe_score"]) > 1e-5:
                found.append(disagree(f"{path} and {own['table'].name} have other emboli, candidates or scores"))
        if "detections" in own:
            read_detections(own["detections"])
    except PEError as error:
        found.append(Finding.of(error))
    return found


def _stock_findings(folder: Path) -> list[Finding]:
    """The descriptions by which nnU-Net reads the probabilities; torch is needed for what `plans.json` names."""
    from pe_nnunet.dataset.dataset_json import read_dataset_json
    from pe_nnunet.named_classes import read_plans

    found = []
    for read, place in ((read_plans, folder / "plans.json"), (read_dataset_json, folder)):
        try:
            read(place)
        except PEError as error:
            found.append(Finding.of(error))
    return found


def _missing(path: Path) -> Finding:
    return Finding("PE-VER-003", "error", f"{path} is missing")


def _is_ours(folder: Path, output: OutputFolder) -> bool:
    """Whether a folder among the results is that of nnU-Net's files, of a part, of cases, or of the index."""
    own = {WRITERS["nnunet"].folder, INDEX if output.indexed else ""}
    return folder.name in own or folder.match("part_*_of_*") or output.is_subfolder(folder)


def _unrecorded(path: Path) -> Finding:
    """A file that looks like one of a case belongs to a run that was interrupted; others are a person's."""
    ours = path.name.endswith((".json", *(writer.suffix for writer in WRITERS.values())))
    return Finding("PE-VER-005", "error" if ours else "warning", f"{path} belongs to no case that is complete")
