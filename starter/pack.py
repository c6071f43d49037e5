"""A trained model to one that ships: weights in half precision, a threshold, a notice, a card and hashes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pe_nnunet.calibration.counts import Grid
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_json, atomic_text
from pe_nnunet.files.json_reader import read_object
from starter.make import FOLD, held_out, model_folder

MOST_BYTES = 8_000_000
GRID = Grid(thresholds=tuple(round(0.3 + 0.025 * step, 3) for step in range(21)))  # focal loss leaves few surer voxels
KEPT = ("network_weights", "trainer_name", "init_args", "inference_allowed_mirroring_axes", "current_epoch")
KEPT_OF_OURS = ("pe_recipe", "pe_split", "pe_first_weights")
PACKED = "models"  # below the working folder, as in the package

LICENCE = "Apache-2.0"
NOTICE = (
    "This model was trained on rendered scans only and has never seen a patient. It is for trying the tool and for "
    "training from; what it finds or misses in a patient's scan says nothing."
)
DESCRIPTION = (
    "A small TAR-UNet that ships with pe-nnunet, trained on CT volumes that were rendered from label maps of lungs and "
    "vessels of CAD-PE's patients, with emboli drawn into them and appearances varied widely."
)
CITATION = (
    "Lung and vessel annotation of CAD-PE, from which the scans were rendered: Guo J, et al. AANet: Artery-Aware "
    "Network for Pulmonary Embolism Detection in CTPA Images. MICCAI 2022. doi:10.1007/978-3-031-16431-6_45"
)
LIMITS = (
    "It has learnt what the rendering shows: vessels and lungs of real anatomies, with bones, mediastinum, bronchi and "
    "emboli that were drawn. Other diseases of lung and vessels, devices and most artefacts are not in it. Its "
    "threshold was chosen on rendered scans as well, of anatomies that it was not trained on."
)


def pack(work: Path, out: Path, target_fp: float | None = 2.0, device: str = "auto") -> Path:
    """Make the folder that ships.

    Args:
        work: Holds the trained model, and the held-out scans that choose the threshold.
        out: Folder of the shipped model; it is replaced once the new one is complete.
        target_fp: False positives a scan, at most, that the threshold is chosen for; None for the highest F1.
        device: Where the calibration runs.

    Returns:
        The folder.

    Raises:
        PEError: If there is no trained model or no held-out scan.
        ConfigurationError: PE-MODEL-003 if it is larger than 8 MB, or its weights do not fit into half precision.
    """
    packed = work / PACKED / out.name  # of its final name, which fusion.json records
    shutil.rmtree(packed, ignore_errors=True)
    copy_model(model_folder(work), packed)
    calibrate(packed, work, target_fp, device)
    describe(packed)
    size = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise ConfigurationError(
            "PE-MODEL-003",
            f"{packed} takes {size / 1e6:.1f} MB, expected {MOST_BYTES / 1e6:g} at most",
            "plan a smaller",
        )
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(packed, out)
    return out


def copy_model(model: Path, packed: Path) -> None:
    """Write plans, the dataset's description with what users have to know, and the weights in half precision.

    Args:
        model: Folder of the trained model.
        packed: Folder that is made.
    """
    import torch

    from pe_nnunet.inference.checkpoint_file import cast_weights, read_checkpoint, require_finite
    from pe_nnunet.inference.locate import FINAL
    from pe_nnunet.trainers.checkpoints import write_checkpoint

    path = model / f"fold_{FOLD}" / FINAL
    content = read_checkpoint(path)
    kept: dict[str, Any] = {key: content[key] for key in (*KEPT, *KEPT_OF_OURS) if key in content}
    kept["network_weights"] = cast_weights(content["network_weights"], (torch.float32,), torch.float16)
    require_finite(kept["network_weights"], path)
    facts = read_object(model / "dataset.json")
    facts |= {"notice": NOTICE, "licence": LICENCE, "citation": CITATION, "description": DESCRIPTION}
    (packed / f"fold_{FOLD}").mkdir(parents=True)
    shutil.copyfile(model / "plans.json", packed / "plans.json")
    atomic_json(packed / "dataset.json", facts)
    write_checkpoint(packed / f"fold_{FOLD}" / FINAL, kept)


def calibrate(packed: Path, work: Path, target_fp: float | None, device: str) -> None:
    """Choose threshold and smallest volume for the very weights that ship, cross-validated by anatomy.

    Args:
        packed: Folder of the model.
        work: Holds the held-out scans.
        target_fp: False positives a scan, at most; None for the highest F1.
        device: Where the network runs.
    """
    from pe_nnunet.calibration.own_scans import OwnScans, calibrate_on_scans
    from pe_nnunet.evaluation import read_patients
    from pe_nnunet.evaluation.prediction_pairing import find_labels
    from pe_nnunet.inference.locate import locate_folder
    from pe_nnunet.volumes import find_scans

    scans, labels, anatomies = held_out(work)
    own = OwnScans(find_scans(scans), find_labels(labels), labels, patients=read_patients(anatomies))
    _, failed = calibrate_on_scans([locate_folder(packed, [FOLD])], own, target_fp, GRID, device=device)
    for failure in failed:
        print(failure, flush=True)


def describe(packed: Path) -> None:
    """Write the model card, and the hashes of all files.

    Args:
        packed: Folder of the model.
    """
    from pe_nnunet.inference.locate import locate_folder
    from pe_nnunet.inference.model_card import MODEL_CARD
    from pe_nnunet.inference.shipped import SHA256SUMS, sums_of
    from pe_nnunet.model_cards.make import Stated, make_card

    text, notes = make_card(locate_folder(packed, [FOLD]), Stated(limits=LIMITS), calibrated=True)
    for note in notes:
        print(note, flush=True)
    atomic_text(packed / MODEL_CARD, text)
    atomic_text(packed / SHA256SUMS, sums_of(packed))
