"""All readers that are tried, by name."""

from __future__ import annotations

from fuzz import (
    check_dicom,
    check_models,
    check_volumes,
    mutate_bytes,
    mutate_dicom,
    mutate_json,
    mutate_models,
    mutate_nifti,
    mutate_text,
    seeds_dicom,
    seeds_models,
    seeds_volumes,
)
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
    "dicom": Reader(
        seeds_dicom.series_seeds, mutate_dicom.change_series, check_dicom.read_series, check_dicom.compare_series
    ),
    "seg": Reader(seeds_dicom.seg_seeds, mutate_dicom.change_series, check_dicom.read_label, check_dicom.compare_seg),
    "rtstruct": Reader(
        seeds_dicom.rtstruct_seeds, mutate_dicom.change_series, check_dicom.read_label, check_dicom.compare_rtstruct
    ),
    "json": Reader(
        seeds_models.json_seeds, mutate_json.change_json_file, check_models.read_json_file, check_models.compare_json
    ),
    "checkpoint": Reader(
        seeds_models.checkpoint_seeds,
        mutate_models.change_checkpoint,
        check_models.read_model,
        check_models.compare_model,
    ),
    "archive": Reader(
        seeds_models.archive_seeds,
        mutate_models.change_archive,
        check_models.read_archive,
        check_models.compare_archive,
    ),
    "detector": Reader(
        seeds_models.detector_seeds,
        mutate_models.change_detector,
        check_models.read_detector,
        check_models.compare_detector,
    ),
}
