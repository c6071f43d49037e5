"""All readers that are tried, by name."""

from __future__ import annotations

from fuzz import check_volumes, mutate_bytes, mutate_nifti, mutate_text, seeds_volumes
from fuzz.sample import Reader

READERS: dict[str, Reader] = {
    "nifti": Reader(
        seeds_volumes.nifti_seeds, mutate_nifti.change_nifti, check_volumes.read_volume, check_volumes.compare_volume
    ),
    "nrrd": Reader(
        seeds_volumes.nrrd_seeds, mutate_text.change_nrrd, check_volumes.read_volume, check_volumes.compare_volume
    ),
    "metaimage": Reader(
        seeds_volumes.meta_seeds, mutate_text.change_meta, check_volumes.read_volume, check_volumes.compare_volume
    ),
    "matlab": Reader(
        seeds_volumes.matlab_seeds, mutate_bytes.change_any, check_volumes.read_matlab, check_volumes.compare_matlab
    ),
}
