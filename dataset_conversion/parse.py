"""PARSE 2022: CTPA scans with masks of the pulmonary arteries; emboli are not labelled.

    SRC/train/PA000005/image/PA000005.nii.gz
    SRC/train/PA000005/label/PA000005.nii.gz   1 pulmonary artery

Without emboli the only scheme is `--scheme artery`; with `--labels` for them, `artery-pe` and `pe` as well.

Source: Luo et al., Efficient automatic segmentation for multi-level pulmonary arteries: the PARSE challenge,
arXiv:2304.03708 (2023).
"""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan
from pe_nnunet.dataset_conversion.public_dataset import entries, scans_in, subfolder
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing, read_case
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.volumes import image_suffix

__all__ = ["find_cases", "read_case"]


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the patients' folders with their artery masks.

    Raises:
        ConfigurationError: If emboli are to be trained on, and nothing says where they are.
    """
    if options.scheme != "artery" and options.labels is None and not options.negatives:
        raise ConfigurationError(
            "PE-CONV-004", "PARSE labels arteries and no emboli", "give --scheme artery, or --labels for the emboli"
        )
    if not src.is_dir():
        raise InputError("PE-IN-002", f"no folder {src}", "name the folder in which PARSE was unpacked")
    train, masks = subfolder(src, "train"), CaseMasks(options)
    root = train if train.is_dir() else src

    def source_of(case: str, path: Path) -> CaseSource:
        own = [mask for mask in entries(path / "label") if image_suffix(mask)]
        if len(own) > 1:
            raise InputError("PE-CONV-006", f"{path.name}/label holds {len(own)} masks", "leave one of them")
        ref = one_scan(path / "image", case, options)
        return masks.source(ref, path.relative_to(src).as_posix(), own_artery=own[0] if own else None)

    return cases_at([p for p in scans_in(root) if (p / "image").is_dir()], source_of, f"PA*/image in {root}")
