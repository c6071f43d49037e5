"""Do cornerstone and dcmjs, which OHIF is made of, read the same from a segmentation and a report as was written?

    cd benchmarks/cornerstone && npm install && npm run build && cd ../..
    python -m benchmarks.cornerstone.compare SERIES RESULTS PICTURE.png

SERIES is the folder of a DICOM series, RESULTS what `pe-nnunet predict-fused` or `serve` made of it. Both are opened in
headless Chromium. Voxels of each segment are compared with highdicom's, numbers of the report with pydicom's, and the
picture shows the slice with most voxels, to be looked at. It needs npm's packages, and is no test for that reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import highdicom as hd
import numpy as np
import pydicom

from tests.outputs.conftest import Browser

BUILT = Path(__file__).with_name("dist")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line a request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def by_position(series: Path) -> list[Path]:
    """The slices, from below upwards, as they lie in a stack."""
    places = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in series.rglob("*.dcm")}
    return sorted(places, key=lambda path: float(places[path].ImagePositionPatient[2]))


def voxels_of(seg: Path, series: list[Path]) -> tuple[dict[str, dict[str, int]], int]:
    """As the page tells them, by highdicom: number and sum of places by segment; and the slice with most."""
    read = hd.seg.segread(seg)
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in series]
    planes = read.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    found = {}
    for segment in np.unique(planes[planes > 0]).tolist():
        places = np.flatnonzero(planes == segment)
        found[str(segment)] = {"voxels": len(places), "places": int(places.sum())}
    return found, int((planes > 0).sum((1, 2)).argmax())


def numbers_of(item: pydicom.Dataset, group: str = "") -> list[list[Any]]:
    """Every number of a report: tracking identifier of its group, name, derivation, value and unit."""
    inside = list(item.get("ContentSequence", ()))
    names = {one.ConceptNameCodeSequence[0].CodeValue: one for one in inside if "ConceptNameCodeSequence" in one}
    found = []
    if item.ValueType == "NUM":
        value = item.MeasuredValueSequence[0]
        derivation = names["121401"].ConceptCodeSequence[0].CodeValue if "121401" in names else ""
        unit = value.MeasurementUnitsCodeSequence[0].CodeValue
        found.append([group, item.ConceptNameCodeSequence[0].CodeValue, derivation, float(value.NumericValue), unit])
    below = names["112039"].TextValue if "112039" in names else group
    return found + [number for one in inside for number in numbers_of(one, below)]


def main(series: Path, results: Path, picture: Path) -> int:
    """Print what agrees; 1 if anything does not."""
    slices = by_position(series)
    (seg,), (report,) = results.glob("*_seg.dcm"), results.glob("*_sr.dcm")
    voxels, fullest = voxels_of(seg, slices)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(BUILT, folder / "page")
        for number, path in enumerate(slices):
            shutil.copyfile(path, folder / "page" / f"{number}.dcm")
        shutil.copyfile(seg, folder / "page" / "seg.dcm")
        shutil.copyfile(report, folder / "page" / "sr.dcm")
        files = {"series": [f"{n}.dcm" for n in range(len(slices))], "seg": "seg.dcm", "sr": "sr.dcm", "slice": fullest}
        (folder / "page" / "files.json").write_text(json.dumps(files))
        handler = partial(Quiet, directory=folder / "page")
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        browser = Browser(shutil.which("chromium") or "chromium", folder / "profile")
        try:
            browser.open(f"http://127.0.0.1:{server.server_port}/index.html")
            failure, told = browser.value("window.failure ?? ''"), browser.value("window.result")
            browser.picture(picture)
        finally:
            browser.close()
            server.shutdown()
    if failure:
        print(failure)
    if told is None:
        return 1
    segments = [[s.SegmentNumber, s.SegmentLabel, s.TrackingUID] for s in pydicom.dcmread(seg).SegmentSequence]
    numbers = numbers_of(pydicom.dcmread(report))
    same = {
        "segments": told["segments"] == segments,
        "voxels of each segment": told["voxels"] == voxels,
        "numbers of the report": told["numbers"] == numbers,
    }
    print(f"{len(slices)} slices, segments {[s[1] for s in segments]}, voxels {[v['voxels'] for v in voxels.values()]}")
    print(f"report {told['title']!r} with {len(numbers)} numbers")
    for what, agrees in same.items():
        print(f"{what}: {'the same' if agrees else 'NOT the same'}")
    return 0 if all(same.values()) and not failure else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("series", "results", "picture"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    sys.exit(main(**vars(parser.parse_args())))
