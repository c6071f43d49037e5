"""`make audit`: a bill of materials of what runs, and known vulnerabilities of all that is installed.

    audit.py SITE_PACKAGES OUT

writes `OUT/sbom.cdx.json` (CycloneDX: the runtime dependencies with their versions, licences and what each needs) and
`OUT/audit.json` (pip-audit's report). Exit code 0 if nothing is known against what is installed, 1 if something is, 2
if the advisory service could not be asked. It runs in an environment of its own, so that the tools are not audited too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = "pe-nnunet"
BIN = Path(sys.executable).parent
FOUND, NOT_ASKED = 1, 2


def runtime(installed: dict[str, Distribution]) -> set[str]:
    """Names of the project and of everything that it needs to run, without extras of its own."""
    needed, left = set[tuple[str, str]](), [(ROOT, "")]
    while left:
        name, extra = left.pop()
        if (name, extra) in needed or name not in installed:
            continue
        needed.add((name, extra))
        for text in installed[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(requirement.name), part) for part in ("", *requirement.extras)]
    return {name for name, _ in needed}


def bill_of_materials(python: Path, names: set[str]) -> dict[str, Any]:
    """What cyclonedx-py says of the environment, without what is not needed to run."""
    command = [BIN / "cyclonedx-py", "environment", python, "--pyproject", "pyproject.toml", "--output-reproducible"]
    content = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    content["components"] = [
        item for item in content["components"] if canonicalize_name(item["name"]) in names - {ROOT}
    ]
    kept = {item["bom-ref"] for item in (*content["components"], content["metadata"]["component"])}
    content["dependencies"] = [
        item | {"dependsOn": [ref for ref in item.get("dependsOn", ()) if ref in kept]}
        for item in content["dependencies"]
        if item["ref"] in kept
    ]
    if problem := JsonStrictValidator(SchemaVersion.from_version(content["specVersion"])).validate_str(
        json.dumps(content)
    ):
        raise SystemExit(f"the bill of materials is not valid: {problem}")
    return content


def audit(site_packages: Path) -> list[dict[str, Any]] | None:
    """pip-audit's entries, one a package; None if the service could not be asked."""
    command = [BIN / "pip-audit", "--path", site_packages, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        return None


def report(entries: list[dict[str, Any]], names: set[str]) -> Iterator[str]:
    """What is known, one line an advisory, and what could not be looked up."""
    for entry in entries:
        for advisory in entry.get("vulns", ()):
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            where = "runtime" if canonicalize_name(entry["name"]) in names else "development"
            yield f"{entry['name']} {entry['version']} ({where}): {advisory['id']}, mended in {fixed}"


def main(site_packages: Path, out: Path) -> int:
    installed = {canonicalize_name(found.name): found for found in distributions(path=[str(site_packages)])}
    names = runtime(installed)
    out.mkdir(parents=True, exist_ok=True)
    python = site_packages.parents[2] / "bin" / "python"  # of a virtual environment on Linux and macOS
    bill = bill_of_materials(python, names)
    (out / "sbom.cdx.json").write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    print(f"{out}/sbom.cdx.json: {len(bill['components'])} packages that run, of {len(installed)} installed")
    entries = audit(site_packages)
    asked = [entry for entry in entries or () if "skip_reason" not in entry]
    if not asked:
        print("NOT AUDITED: the advisory service (pypi.org) was not reached, or knows none of the packages")
        return NOT_ASKED
    (out / "audit.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    known = list(report(asked, names))
    left_out = sorted({entry["name"] for entry in entries or ()} - {entry["name"] for entry in asked} - {ROOT})
    print("\n".join([*known, f"{len(asked)} packages audited, {len(known)} advisories"]))
    if left_out:
        print(f"not known to the service: {', '.join(left_out)}")
    return FOUND if known else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
