"""Which requirements of this package and of nnU-Net the environment does not meet, by what is recorded of packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

OPTIONAL = ("ultralytics",)  # needed to train a detector, and for nothing else
OF = ("pe-nnunet", "nnunetv2")


def unmet_requirements() -> dict[str, str]:
    """Package -> what is wrong with it, in words; nothing is imported."""
    found: dict[str, str] = {}
    for package in OF:
        try:
            lines = requires(package) or []
        except PackageNotFoundError:
            found[package] = "not installed"
            continue
        for line in lines:
            needed = Requirement(line)
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and needed.name not in OPTIONAL and (problem := _problem(needed)):
                found[needed.name] = f"{problem}, needed by {package}"
    return found


def _problem(needed: Requirement) -> str:
    try:
        installed = version(needed.name)
    except PackageNotFoundError:
        return "not installed"
    fits = needed.specifier.contains(installed, prereleases=True)
    return "" if fits else f"{installed} is installed, {needed.specifier} expected"
