"""Write synthetic CTPA scans with exact truth.

pe-nnunet phantom OUT --cases 20 --spacing 1
pe-nnunet phantom OUT --coarse --format mixed

Each case is a folder: ct.nii.gz or a DICOM series in ct/, and emboli (ids), artery, vein and lung as NIfTI. phantom.json
says how each was made. The same seed gives the same bytes; a second run adds the cases that are missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet phantom`."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--cases", type=int, default=8, metavar="N", help="number of scans (8)")
    parser.add_argument("--seed", type=int, default=0, help="0 or more (0)")
    parser.add_argument(
        "--format", choices=("nifti", "dicom", "mixed"), default="nifti", help="how the CT is stored (nifti)"
    )
    parser.add_argument("--spacing", type=float, nargs="+", metavar="MM", help="voxel size: one value, or z y x (1)")
    parser.add_argument(
        "--size", type=float, nargs="+", metavar="MM", help="width of the thorax: one value, or a range (310 370)"
    )
    parser.add_argument("--negatives", type=float, metavar="FRACTION", help="share of scans without emboli (0.2)")
    parser.add_argument(
        "--emboli", type=int, nargs="+", metavar="N", help="emboli in a positive scan: one value, or a range (1 6)"
    )
    parser.add_argument("--min-embolus-mm3", type=float, metavar="MM3", help="no emboli smaller than this (0)")
    parser.add_argument(
        "--coarse", action="store_true",
        help="quick runs: 2.5 mm voxels, a thorax of 240 to 280 mm, emboli of 300 mm3 and more; single values can be overridden",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the cohort."""
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.phantom.cohort import write_cohort
    from pe_nnunet.phantom.settings import PhantomSettings, coarse_settings

    if args.cases < 1 or args.seed < 0:
        raise ConfigurationError(
            "PE-PHA-001", f"--cases {args.cases} --seed {args.seed}", "at least 1 case, a seed of 0 or more"
        )
    changes: dict[str, object] = {
        "spacing_mm": _several(args.spacing, 3),
        "thorax_width_mm": _several(args.size, 2),
        "emboli_per_scan": _several(args.emboli, 2),
        "negative_fraction": args.negatives,
        "min_embolus_mm3": args.min_embolus_mm3,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    settings = coarse_settings(**changes) if args.coarse else PhantomSettings(**changes)  # type: ignore[arg-type]
    folders = write_cohort(args.out, args.cases, settings, args.seed, args.format)
    print(f"{len(folders)} scans in {args.out}")
    return 0


def _several(values: list[float] | None, count: int) -> tuple[float, ...] | None:
    """One value stands for all; a wrong number of values is left for the settings to refuse."""
    if values is None:
        return None
    return tuple(values * count if len(values) == 1 else values)
