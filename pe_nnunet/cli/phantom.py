"""Write synthetic CTPA scans with exact truth.

pe-nnunet phantom OUT --cases 20 --spacing 1
pe-nnunet phantom OUT --coarse --format mixed

Each case is a folder: ct.nii.gz or a DICOM series in ct/, and emboli (ids), artery, vein and lung as NIfTI.
phantom.json says how each was made. The same seed gives the same bytes; a second run adds the cases that are missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

COARSE = "2.5 mm voxels, a thorax of 240 to 280 mm, emboli of 400 mm3 and more"
MAX_AUTOMATIC = 4  # a scan of 1 mm takes 2 GiB while it is drawn


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet phantom`."""
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to write to")
    add("--cases", type=int, default=8, metavar="N", help="number of scans (8)")
    add("--seed", type=int, default=0, help="0 or more (0)")
    add("--format", choices=("nifti", "dicom", "mixed"), default="nifti", help="how the CT is stored (nifti)")
    add("--coarse", action="store_true", help=f"for quick runs: {COARSE}; what is given beside it overrides")
    add("--num-processes", type=int, metavar="N", help="worker processes (one a processor, 4 at most)")
    add = parser.add_argument_group("what the scans are like").add_argument
    add("--spacing", type=float, nargs="+", metavar="MM", help="voxel size: one value, or z y x (1)")
    add("--size", type=float, nargs="+", metavar="MM", help="width of the thorax: one value, or a range (310 370)")
    add("--negatives", type=float, metavar="FRACTION", help="share of scans without emboli (0.2)")
    add("--emboli", type=int, nargs="+", metavar="N", help="emboli in a positive scan: one value, or a range (1 6)")
    add("--min-embolus-mm3", type=float, metavar="MM3", help="no emboli smaller than this (0)")
    add("--artery-hu", type=float, nargs="+", metavar="HU", help="of the arteries: one value, or a range (220 560)")
    add("--contrast-to-noise", type=float, nargs="+", metavar="RATIO", help="one value, or a range (6 14)")


def run(args: argparse.Namespace) -> int:
    """Write the cohort."""
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.phantom.cohort import write_cohort
    from pe_nnunet.phantom.settings import PhantomSettings, coarse_settings
    from pe_nnunet.processes import usable_processors

    if args.num_processes is not None and args.num_processes < 1:
        raise ConfigurationError("PE-PHA-001", f"phantom --num-processes {args.num_processes}: expected 1 or more")
    if args.cases < 1 or args.seed < 0:
        raise ConfigurationError(
            "PE-PHA-001",
            f"phantom --cases {args.cases} --seed {args.seed}: expected 1 case or more, a seed of 0 or more",
        )
    given: dict[str, Any] = {
        "spacing_mm": _several(args.spacing, 3),
        "thorax_width_mm": _several(args.size, 2),
        "emboli_per_scan": _several(args.emboli, 2),
        "negative_fraction": args.negatives,
        "min_embolus_mm3": args.min_embolus_mm3,
        "artery_hu": _several(args.artery_hu, 2),
        "contrast_to_noise": _several(args.contrast_to_noise, 2),
    }
    given = {name: value for name, value in given.items() if value is not None}
    settings = coarse_settings(**given) if args.coarse else PhantomSettings(**given)
    workers = args.num_processes or min(usable_processors(), MAX_AUTOMATIC)
    folders = write_cohort(args.out, args.cases, settings, args.seed, args.format, workers)
    print(f"{len(folders)} scans in {args.out}")
    return 0


def _several(values: list[Any] | None, count: int) -> tuple[Any, ...] | None:
    """One value stands for all; a wrong number of values is left for the settings to refuse."""
    if values is None:
        return None
    return tuple(values * count if len(values) == 1 else values)
