"""How well the artery's diameter and level at an embolus agree with the trees that phantoms are drawn from.

    pe-nnunet phantom scans --cases 6 --seed 5        # 1 mm; --coarse for 2.5 mm
    python benchmarks/artery_level.py scans

The true emboli stand for the findings, so that what is measured is the estimate alone and no network. The reference is
twice the radius of the piece of the tree that the embolus grew from; the embolus spreads from there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.outputs.artery import LEVELS, artery_diameter_mm, level_of
from pe_nnunet.voxels import boxes_by_id


def main(cohort: Path) -> None:
    """Measure every embolus of a cohort and print the agreement."""
    cases = json.loads((cohort / "phantom.json").read_text(encoding="utf-8"))["cases"]
    true_mm, found_mm, seconds = [], [], []
    for name, facts in cases.items():
        image, emboli = (sitk.ReadImage(str(cohort / name / f"{part}.nii.gz")) for part in ("ct", "emboli"))
        labels = sitk.GetArrayFromImage(emboli)
        boxes = boxes_by_id(labels)
        for embolus in facts["emboli"]:
            started = time.perf_counter()
            found_mm.append(artery_diameter_mm(image, labels, embolus["id"], boxes[embolus["id"]]))
            seconds.append(time.perf_counter() - started)
            true_mm.append(2 * embolus["vessel_radius_mm"])
    true, found = np.array(true_mm), np.array(found_mm)
    true_level, found_level = [level_of(d) for d in true], [level_of(d) for d in found]
    names = [name for name, _ in LEVELS]
    away = [abs(names.index(a) - names.index(b)) for a, b in zip(true_level, found_level, strict=True)]
    print(f"{len(true)} emboli in {len(cases)} scans, arteries of {true.min():.1f} to {true.max():.1f} mm")
    print(f"diameter: bias {np.mean(found - true):+.1f} mm, mean error {np.mean(abs(found - true)):.1f} mm, ", end="")
    print(f"correlation {np.corrcoef(true, found)[0, 1]:.2f}; {np.mean(seconds):.2f} s an embolus")
    print(f"level: the same {away.count(0)}, the one beside it {away.count(1)}, further off {sum(a > 1 for a in away)}")
    print("| true, found: | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * len(names))
    for name in names:
        row = [sum((t, f) == (name, other) for t, f in zip(true_level, found_level, strict=True)) for other in names]
        print(f"| {name} | " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
