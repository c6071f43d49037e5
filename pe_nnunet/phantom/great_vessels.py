"""The vessels and airways between the lungs: courses as a radiologist would dictate them.

Points are (x, y, z) in mm in LPS with the carina near the origin, and the radius, for a thorax 340 mm wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.anatomy import Thorax
from pe_nnunet.phantom.tubes import Tubes, TubesBuilder, smooth_path

Course = tuple[tuple[float, float, float, float], ...]

AORTA: Course = (
    (2, -36, -58, 14), (-5, -33, -30, 15), (-8, -28, 5, 14.5), (-3, -18, 27, 13.5), (12, -4, 37, 13),
    (23, 14, 36, 12.5), (27, 34, 20, 12), (27, 44, -5, 11.5), (26, 47, -80, 11), (16, 46, -180, 10.5),
)  # fmt: skip
SUPERIOR_CAVA: Course = ((-22, -34, 120, 7), (-28, -27, 60, 8), (-30, -24, 20, 9), (-30, -22, -34, 10))
LEFT_BRACHIOCEPHALIC: Course = ((34, -34, 120, 6), (22, -46, 85, 6.5), (-4, -48, 64, 6.5), (-27, -29, 50, 7))
AZYGOS: Course = ((-8, 36, -170, 3), (-8, 36, -40, 3.5), (-10, 34, 4, 4), (-17, 20, 18, 4), (-29, -14, 16, 4.5))
INFERIOR_CAVA: Course = ((-24, -8, -180, 13), (-24, -12, -100, 13), (-24, -20, -78, 13))
OESOPHAGUS: Course = ((4, 28, 120, 6), (5, 29, 30, 6.5), (4, 31, -60, 6.5), (12, 24, -130, 7))
TRACHEA: Course = ((0, -8, 125, 8.5), (-1, 4, 60, 8.5), (0, 12, 12, 8.5), (0, 14, 0, 8))

PULMONARY_TRUNK: Course = ((15, -56, -52, 14), (18, -48, -34, 14.5), (18, -30, -18, 14), (16, -15, -10, 13))
"""Out of the right ventricle, left of the ascending aorta, to where it divides."""


Branching = dict[str, tuple[str, Course]]
"""By name: the course from which a branch leaves, and its own course. Those of a lobe bear the lobe's name."""

HILAR_ARTERIES: Branching = {
    "right main": ("trunk", ((-4, -6, -13, 10.5), (-22, -3, -16, 10), (-38, 0, -19, 9))),
    "left main": ("trunk", ((27, -2, -5, 10.5), (38, 8, -4, 9.5), (45, 14, -10, 8.5))),
    "right upper": ("right main", ((-48, -2, -8, 6), (-55, -3, 4, 5.5))),
    "right interlobar": ("right main", ((-46, 6, -30, 7.8), (-51, 10, -42, 7.2))),
    "right middle": ("right interlobar", ((-56, -2, -48, 4.4), (-60, -10, -52, 4.2))),
    "right lower": ("right interlobar", ((-54, 16, -54, 6.4), (-56, 20, -64, 6))),
    "left upper": ("left main", ((52, 4, -2, 6.2), (56, -4, 3, 5.8))),
    "left lower": ("left main", ((50, 22, -24, 7.6), (53, 25, -40, 7), (55, 27, -52, 6.4))),
}
HILAR_VEINS: Branching = {
    "right superior": ("atrium", ((-20, 4, -40, 6.5), (-38, -8, -33, 6.2), (-48, -14, -26, 6))),
    "right inferior": ("atrium", ((-20, 16, -52, 6.5), (-38, 22, -58, 6.2), (-46, 26, -62, 6))),
    "left superior": ("atrium", ((26, 6, -38, 6.5), (40, -6, -28, 6.2), (49, -14, -20, 6))),
    "left inferior": ("atrium", ((26, 18, -50, 6.5), (42, 28, -56, 6), (48, 32, -62, 5.8))),
    "right upper": ("right superior", ((-54, -18, -10, 4.6), (-58, -20, 0, 4.4))),
    "right middle": ("right superior", ((-56, -22, -38, 3.8), (-60, -26, -44, 3.6))),
    "right lower": ("right inferior", ((-50, 28, -66, 5.4), (-54, 32, -72, 5.2))),
    "left upper": ("left superior", ((54, -18, -10, 5.4), (58, -20, -2, 5.2))),
    "left lower": ("left inferior", ((52, 35, -66, 5.2), (56, 38, -72, 5))),
}
CENTRAL_BRONCHI: Branching = {
    "right main": ("carina", ((-14, 16, -9, 7), (-26, 17, -17, 6.8))),
    "left main": ("carina", ((16, 17, -13, 6.2), (32, 19, -23, 6), (41, 20, -28, 5.6))),
    "right upper": ("right main", ((-38, 14, -15, 4.8), (-47, 10, -8, 4.4))),
    "right intermediate": ("right main", ((-33, 17, -30, 5.6), (-39, 16, -44, 5.2))),
    "right middle": ("right intermediate", ((-46, 8, -52, 3.8), (-52, 0, -57, 3.5))),
    "right lower": ("right intermediate", ((-43, 20, -54, 4.6), (-46, 24, -64, 4.4))),
    "left upper": ("left main", ((48, 10, -22, 4.6), (54, 2, -16, 4.2))),
    "left lower": ("left main", ((44, 26, -38, 4.8), (46, 31, -52, 4.5))),
}


def points_and_radii(course: Course, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A course as points (n, 3) in (z, y, x) mm and radii (n,)."""
    rows = np.asarray(course, float) * scale
    return rows[:, [2, 1, 0]], rows[:, 3]


def single(thorax: Thorax, *courses: Course) -> Tubes:
    """Courses that do not branch, as tubes."""
    builder = TubesBuilder()
    for course in courses:
        points, radii = points_and_radii(course, thorax.scale)
        builder.add(*smooth_path(points, radii, step_mm=6 * thorax.scale))
    return builder.build()


def lay(
    builder: TubesBuilder,
    branching: Branching,
    roots: dict[str, int],
    thorax: Thorax,
    rng: np.random.Generator,
    *,
    widen: float = 1.0,
) -> dict[str, int]:
    """Add branches to a tree, each point moved by up to 2 mm.

    Args:
        builder: The tree.
        branching: What to add, a branch after the one it leaves.
        roots: Last piece of each course that is there already, by name.
        thorax: The person.
        rng: Source of randomness.
        widen: Factor on the radii.

    Returns:
        The last piece of every course, by name.
    """
    last = dict(roots)
    for name, (leaves, course) in branching.items():
        points, radii = points_and_radii(course, thorax.scale)
        points = points + rng.uniform(-2, 2, points.shape) * thorax.scale
        parent = last[leaves]
        origin, _ = builder.end_of(parent)
        first = min(radii[0] * 1.15, builder.radius_of(parent) / widen)
        path, widths = smooth_path(np.vstack([origin, points]), np.r_[first, radii] * widen, step_mm=5 * thorax.scale)
        last[name] = builder.add(path, widths, parent, builder.generation_of(parent) + 1)
    return last
