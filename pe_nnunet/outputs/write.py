"""Write the files of one case."""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.errors import OutputError
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.manifest import case_manifest
from pe_nnunet.outputs.overview import write_overview
from pe_nnunet.outputs.run import CaseSummary
from pe_nnunet.outputs.table import emboli_csv
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.volumes.write import atomic_json, atomic_text, write_image


def write_case(case: CaseResult, folder: Path, *, save_probability: bool = False, picture: bool = True) -> CaseSummary:
    """Write all files of a case; the manifest comes last, so where it is, the case is complete.

    `<case>.nii.gz` (ids of the kept emboli), `<case>_emboli.csv` (all candidates), `<case>.png` (overview),
    `<case>_probability.nii.gz` on request, `<case>.json` (manifest). Every file appears whole or not at all.

    Args:
        case: The results, on the scan's own grid.
        folder: Where to; made if missing.
        save_probability: Also write the probability map, if the case has one.
        picture: Draw the overview.

    Returns:
        The case's line in the run's summary.

    Raises:
        OutputError: If a file cannot be written.
    """
    manifest_path = folder / f"{case.case_id}.json"
    _remove(manifest_path)  # from here on an older run's result is no longer complete
    files = {"emboli": f"{case.case_id}.nii.gz", "table": f"{case.case_id}_emboli.csv"}
    write_image(image_like(case.emboli.labels, case.image), folder / files["emboli"])
    atomic_text(folder / files["table"], emboli_csv(case.emboli.candidates, case.image))
    if save_probability and case.probability is not None:
        files["probability"] = f"{case.case_id}_probability.nii.gz"
        write_image(case.probability, folder / files["probability"])
    if picture:
        files["picture"] = f"{case.case_id}.png"
        write_overview(case, folder / files["picture"])
    manifest = case_manifest(case, files)
    atomic_json(manifest_path, manifest)
    return CaseSummary.from_manifest(manifest)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            "PE-OUT-001", f"{path} cannot be replaced: {error.strerror}", "check the permissions of the folder"
        ) from error
