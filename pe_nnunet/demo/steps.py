"""The commands of the chain, as a user would type them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pe_nnunet.demo.command import Step
from pe_nnunet.demo.measure import threads_each
from pe_nnunet.demo.settings import PHANTOMS, DemoSettings
from pe_nnunet.demo.watchers import TrainingWatcher, everything, matching
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.errors import InputError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.inference.locate import FINAL

NAME = "Demo"
MODEL = "PETARUNetTrainer__PETARUNetPlans__3d_fullres"
MIN_VOLUMES_MM3 = (50, 100, 200, 300, 400, 500, 600, 800, 1000)
FALSE_POSITIVES_PER_SCAN = 3  # one below the goal: a network does worse on scans that nothing was chosen on


class Steps:
    """The commands, and where they write.

    Args:
        settings: What the chain runs on.
        out: Absolute folder of everything.
        expected_s: How long each stage is thought to take, by its key in `Schedule.seconds`.
        goes_on: Whether an earlier run with the same settings has worked in `out`.
    """

    def __init__(
        self,
        settings: DemoSettings,
        out: Path,
        expected_s: Mapping[str, float] | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.settings = settings
        self.goes_on = goes_on
        self.expected_s = dict(expected_s or {})
        self.out = out
        self.scans = out / "scans"
        self.folders = {name: out / "nnUNet" / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        self.dataset = f"Dataset{settings.dataset_id:03d}_{NAME}"
        self.number = str(settings.dataset_id)

    @property
    def model(self) -> Path:
        """Folder of the trained segmenter."""
        return self.folders["nnUNet_results"] / self.dataset / MODEL

    @property
    def fusion_file(self) -> Path:
        """What calibration writes."""
        return self.model / FUSION_FILE

    def learning(self) -> list[tuple[Step, ...]]:
        """From scans to trained and calibrated models; the steps of a group run at the same time."""
        detector = self.settings.detector
        trainings = (self._train(), *(() if detector is None else (self._train_detector(detector),)))
        groups = [*((step,) for step in (*self._cohorts(), *self._data())), trainings]
        if detector is not None or self.settings.min_embolus_mm3 is None:
            groups.append((self._calibrate(),))
        return groups

    def scoring(self) -> list[Step]:
        """From the held-out scans to scores."""
        predictions, scores = self.out / "predictions", self.out / "scores"
        detector, smallest = self.settings.detector, self.settings.min_embolus_mm3
        return [
            Step(
                "predict the held-out scans",
                (
                    *("pe-nnunet-predict-fused", "-i", str(self.scans / "to_predict"), "-o", str(predictions)),
                    *("-d", self.number, "-f", "0", "-device", self.settings.device),
                    *(() if smallest is None else ("--min-embolus-mm3", f"{smallest:g}")),
                    *(() if detector is None else ("--detector", str(self._fold(detector)), "--save-parts")),
                ),
                (predictions / "summary.csv", predictions),
                everything,
                reads=(self.scans / "to_predict", *self._trained()),
                go_on=("--resume",),
                expected_s=self._expected("predict"),
            ),
            Step(
                "evaluate",
                ("pe-nnunet", "evaluate", "-i", str(predictions), "-g", str(self.scans / "test"), "-o", str(scores)),
                (scores / "summary.json",),
                reads=(predictions, self.scans / "test"),
                expected_s=self._expected("evaluate"),
            ),
        ]

    def _expected(self, *stages: str) -> float:
        return sum(self.expected_s.get(stage, 0.0) for stage in stages)

    def _cohorts(self) -> list[Step]:
        settings = self.settings
        if settings.studies is not None:
            split_studies(settings.studies, settings.held_out, self.scans)
            return []
        return [
            Step(
                f"{count} phantom scans to {purpose}",
                (
                    *("pe-nnunet", "phantom", str(self.scans / name), *PHANTOMS),
                    *("--cases", str(count), "--seed", str(seed), "--format", form),
                ),
                (self.scans / name / "phantom.json", self.scans / name),
                everything,
                expected_s=self._expected("phantoms") * count / (settings.train_scans + settings.test_scans),
            )
            for name, purpose, count, seed, form in (
                ("train", "train on", settings.train_scans, settings.seed, "nifti"),
                ("test", "predict, half of them DICOM", settings.test_scans, settings.seed + 1, "mixed"),
            )
        ]

    def _data(self) -> list[Step]:
        _, preprocessed, _ = self.folders.values()
        return [
            Step(
                "convert: crop to the lungs",
                (
                    *("pe-nnunet", "convert", "studies", str(self.scans / "train")),
                    *("-d", self.number, "--name", NAME, "--overwrite"),
                ),
                self._converted(),
                everything,
                reads=(self.scans / "train",),
                expected_s=self._expected("convert"),
            ),
            Step(
                "plan and preprocess",
                (
                    *("nnUNetv2_plan_and_preprocess", "-d", self.number, "-pl", "PETARUNetPlanner", "-c", "3d_fullres"),
                    *("-gpu_memory_target", f"{self.settings.memory_gb:g}", "-np", "2", "-npfp", "2", "--clean"),
                ),
                (preprocessed / self.dataset / "PETARUNetPlans.json",),
                matching("Preprocessing dataset", "3d_fullres: patch"),
                {"PE_NNUNET_PLAN": self.settings.network} if self.settings.network else None,
                reads=self._converted(),
                expected_s=self._expected("plan"),
            ),
        ]

    def _converted(self) -> tuple[Path, ...]:
        """The dataset, but for what other commands write beside it."""
        folder = self.folders["nnUNet_raw"] / self.dataset
        return (folder / "dataset.json", folder / "imagesTr", folder / "labelsTr")

    def _trained(self) -> tuple[Path, ...]:
        """What prediction takes of the models."""
        files = (self.model / "plans.json", self.model / "fold_0" / FINAL, self.fusion_file)
        detector = self.settings.detector
        return files if detector is None else (*files, self._fold(detector) / "detector.onnx")

    def _train(self) -> Step:
        """With the probabilities of the validation scans, from which the operating points are chosen."""
        epochs = 1 if self.settings.epochs is None else self.settings.epochs
        recipe = {"epochs": str(epochs), "seed": str(self.settings.seed - 1), **self.settings.recipe}
        fold = self.model / "fold_0"
        done = _epochs_in(fold) if self.goes_on else 0
        return Step(
            "train TAR-UNet",
            (
                *("nnUNetv2_train", self.number, "3d_fullres", "0", "-tr", "PETARUNetTrainer", "-p", "PETARUNetPlans"),
                *("-device", self.settings.device, *(() if self.settings.detector is None else ("--npz",))),
            ),
            (fold / FINAL, fold / "validation"),
            TrainingWatcher(epochs),
            {"PE_NNUNET_RECIPE": " ".join(f"{key}={value}" for key, value in recipe.items()), **self._threads()},
            go_on=("--c",),
            expected_s=self._expected("start", "validation") + self._expected("training") * (1 - done / epochs),
        )

    def _train_detector(self, how: DetectorSettings) -> Step:
        """On the same split, so that both are calibrated on scans that neither has seen."""
        return Step(
            "train the detector",
            (
                *("pe-nnunet", "train-detector", "-d", self.number, "-f", "0", *_options(how)),
                *("-device", self.settings.device, "--overwrite"),
            ),
            (self._fold(how) / "detector.json",),
            everything,
            self._threads(),
            expected_s=self._expected("start", "detector"),
        )

    def _threads(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(threads_each(self.settings))}

    def _fold(self, how: DetectorSettings) -> Path:
        return self.model.parent / f"PEDetector__{how.model}__{how.image_size}px" / "fold_0"

    def _calibrate(self) -> Step:
        """Operating points, chosen on the scans that training held back, not on those that are scored.

        With a detector for the highest F1 of each method; without one the masks that training left are enough for the
        smallest finding.
        """
        smallest = self.settings.min_embolus_mm3
        volumes = MIN_VOLUMES_MM3 if smallest is None else (smallest,)
        how: tuple[str, ...] = ("--from", "masks", "--target-fp", str(FALSE_POSITIVES_PER_SCAN))
        if self.settings.detector is not None:
            detector = self._fold(self.settings.detector).parent
            how = ("--from", "npz", "--detector", str(detector), "-device", self.settings.device)
        return Step(
            "choose operating points on the validation scans",
            (
                *("pe-nnunet", "calibrate", "-d", self.number, "-f", "0", *how),
                *("--min-embolus-mm3", *(f"{volume:g}" for volume in volumes)),
            ),
            (self.fusion_file,),
            matching("highest", "    "),
            expected_s=self._expected("calibrate"),
        )


def _epochs_in(fold: Path) -> int:
    from pe_nnunet.trainers.history import HISTORY_FILE  # which brings torch: for a training that goes on alone

    history = fold / HISTORY_FILE
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.is_file() else 0


def split_studies(studies: Path, held_out: Sequence[str], out: Path) -> None:
    """Link the cases of a folder into `out/train` and `out/test`, in the place of what is there.

    Args:
        studies: One folder a case, with `ct` and `emboli`.
        held_out: Cases to test on; the last fifth in order of name if empty.
        out: Where the links go.

    Raises:
        InputError: PE-IN-002 if a case is not there, PE-IN-001 if there are fewer than six.
    """
    cases = sorted(path.name for path in studies.glob("*") if path.is_dir()) if studies.is_dir() else []
    unknown = sorted(set(held_out) - set(cases))
    if unknown:
        hint = did_you_mean(unknown[0], cases, f"there: {', '.join(cases) or 'none'}")
        raise InputError("PE-IN-002", f"no case {unknown[0]} in {studies}", hint)
    test = set(held_out) or set(cases[-max(1, len(cases) // 5) :])
    if len(cases) - len(test) < 5:
        raise InputError(
            "PE-IN-001", f"{studies} leaves {len(cases) - len(test)} cases to train on, expected 5 or more"
        )
    for part in ("train", "test"):
        shutil.rmtree(out / part, ignore_errors=True)
    for case in cases:
        link(studies / case, out / ("test" if case in test else "train") / case)


def link_scans(studies: Path, out: Path) -> None:
    """Link the scan of each case, without its truth, so that a folder of scans is what a user would have.

    Args:
        studies: One folder a case, with `ct`, `ct.nii.gz`, `ct.nrrd` or `ct.mha`.
        out: Gets one folder a case.
    """
    shutil.rmtree(out, ignore_errors=True)
    for scan in sorted(studies.glob("*/ct*")):
        link(scan, out / scan.parent.name / scan.name)


def link(source: Path, target: Path) -> None:
    """A symbolic link, or a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        return
    try:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)


def _options(how: DetectorSettings) -> tuple[str, ...]:
    """As options of `pe-nnunet train-detector`."""
    return (
        *("--model", how.model, "--image-size", str(how.image_size), "--epochs", str(how.epochs)),
        *("--batch", str(how.batch), "--slices-per-embolus", str(how.slices_per_embolus)),
        *("--negative-share", f"{how.negative_share:g}"),
        *("--seed", str(how.seed)),
        *(("--set", *(f"{key}={value}" for key, value in how.overrides.items())) if how.overrides else ()),
    )
