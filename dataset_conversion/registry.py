"""The kinds of source that can be converted: one module and one line here each.

A module of a kind has the functions of `SourceKind`. It is imported when it is used, so that the command line can list
the kinds without loading anything.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
    from pe_nnunet.dataset_conversion.public_dataset import Published
    from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, Listing

# Name on the command line -> what it reads. The module is the name with `_` for `-`.
KINDS: dict[str, str] = {
    "studies": "one folder a case: ct/ with DICOM files or ct.nii.gz, emboli.nii.gz, and artery.nii.gz if there is one",
    "dicom": "folders of DICOM series, with masks named by --labels",
    "nifti": "NIfTI, NRRD or MHA volumes, with masks named by --labels",
    "fumpe": "FUMPE as unpacked: CT_scans/PAT001/*.dcm, GroundTruth/PAT001.mat",
    "cad-pe": "CAD-PE: images/001.nrrd, rs/0001RefStd.nrrd, and AANet's vessel/001.nii.gz if there",
    "read": "READ: DICOM folders and NIfTI masks, under the names of either distribution",
    "rspect": "RSPECT (RSNA 2020): train.csv, train/STUDY/SERIES/*.dcm; the studies without embolus",
    "augmented-rspect": "Augmented RSPECT: augmented_rspect.csv, train/STUDY/SERIES/*.dcm; boxes, for detectors",
    "parse": "PARSE 2022: train/PA000005/image and label; arteries alone",
}


class SourceKind(Protocol):
    """What the module of a kind of source offers; that of a public dataset also `PUBLISHED`, its figures."""

    def find_cases(self, src: Path, options: ConvertOptions) -> Listing:
        """List the cases below `src` with their files, reading no volume."""

    def read_case(self, source: CaseSource, options: ConvertOptions) -> CaseVolumes:
        """Read the volumes of one case, all on one grid; most kinds share `sources.read_case`."""


def published(name: str) -> Published | None:
    """What is published of the dataset that a kind of source reads, if it is one."""
    found: Published | None = getattr(source_kind(name), "PUBLISHED", None)
    return found


def source_kind(name: str) -> SourceKind:
    """The module of a kind of source.

    Raises:
        ConfigurationError: If there is no such kind.
    """
    if name not in KINDS:
        hint = did_you_mean(name, KINDS, f"choose one of {', '.join(KINDS)}")
        raise ConfigurationError("PE-CONV-004", f"no source kind {name!r}", hint)
    return cast(SourceKind, import_module(f"pe_nnunet.dataset_conversion.{name.replace('-', '_')}"))
