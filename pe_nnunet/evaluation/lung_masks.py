"""Which lung mask belongs to which case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.find import clean

STUDY_MASKS = ("lung", "lungs")  # names inside a study's own folder
ENDINGS = ("_lungmask", "_lungs", "_lung", "")


def find_lung_masks(folder: Path, cases: Iterable[str]) -> dict[str, Path]:
    """Find masks by case id.

    Args:
        folder: Holds `<case>.nii.gz` (or .nii, .nrrd, .mha), as a converted dataset's `pe_nnunet/lungs`;
            `<case>_lungmask.nii.gz`, as AANet's authors name them for CAD-PE; or one folder a case with `lung.nii.gz`.
        cases: Ids.

    Returns:
        Those that are there; of several for one case the one with the longest ending, as CAD-PE's `001.nii.gz` beside
        `001_lungmask.nii.gz` is a mask of vessels.

    Raises:
        ConfigurationError: PE-IN-002 if there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError("PE-IN-002", f"the folder of lung masks {folder} does not exist")
    files = {}
    for path in sorted(folder.iterdir()):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in inside:
            stem = file.name[: -len(image_suffix(file))] if image_suffix(file) else ""
            if stem and (file is path or stem in STUDY_MASKS):
                files[clean(stem if file is path else path.name)] = file
    found = {}
    for case in cases:
        names = (case + ending for ending in ENDINGS)
        mask = next((files[name] for name in names if name in files), None)
        if mask is not None:
            found[case] = mask
    return found
