"""Which weights calibrated settings were chosen for, and whether a prediction runs the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ONNX = "detector.onnx"


@dataclass(frozen=True)
class Weights:
    """Weights of an ensemble, by their hashes.

    Attributes:
        models: Model folder's name and fold -> name of the checkpoint and its SHA-256.
        detector: Name of a fold -> SHA-256 of its network; empty without a detector.
    """

    models: Mapping[tuple[str, str], tuple[str, str]]
    detector: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, chosen_on: Any) -> Weights | None:
        """Of the `chosen_on` of a `fusion.json`; None if it does not say."""
        try:
            models = {
                (str(one["model"]), str(one["fold"])): (str(one["checkpoint"]), str(one["sha256"]))
                for one in chosen_on["models"]
            }
            detector = {f"fold {one['fold']}": str(one["sha256"][ONNX]) for one in chosen_on.get("detector") or ()}
        except (KeyError, TypeError, AttributeError):
            return None
        return cls(models, detector) if models else None

    def not_among(self, chosen: Weights) -> list[str]:
        """What of these weights is not among others, in words; some of their folds are among them.

        Example:
            >>> chosen = Weights({("M", "0"): ("final.pth", "a1"), ("M", "1"): ("final.pth", "b2")})
            >>> Weights({("M", "1"): ("final.pth", "b2")}).not_among(chosen)
            []
            >>> Weights({("M", "0"): ("final.pth", "c3"), ("M", "2"): ("final.pth", "d4")}).not_among(chosen)
            ['fold 0 of M was trained again', 'fold 2 of M instead of 0 1']
            >>> Weights({("M", "0"): ("final.pth", "a1"), ("M", "1"): ("final.pth", "a1")}).not_among(chosen)
            ['fold 1 of M holds the weights of fold 0 of M']
        """
        left = Counter(sha256 for _, sha256 in chosen.models.values())  # those that may still be used
        left.subtract(sha256 for place, (_, sha256) in self.models.items() if _same(place, sha256, chosen))
        others = []
        for (model, fold), (checkpoint, sha256) in sorted(self.models.items()):
            if _same((model, fold), sha256, chosen):
                continue
            then, _ = chosen.models.get((model, fold), ("", ""))
            owner = next((place for place, (_, recorded) in chosen.models.items() if recorded == sha256), None)
            if owner is not None and not then and left[sha256] > 0:  # renamed
                left[sha256] -= 1
            elif owner is not None:
                others.append(f"fold {fold} of {model} holds the weights of fold {owner[1]} of {owner[0]}")
            elif not then:
                folds = " ".join(sorted(fold for name, fold in chosen.models if name == model))
                others.append(f"fold {fold} of {model}" + (f" instead of {folds}" if folds else ""))
            elif then != checkpoint:
                others.append(f"{checkpoint} of fold {fold} of {model} instead of {then}")
            else:
                others.append(f"fold {fold} of {model} was trained again")
        if chosen.detector:
            of_detector = Counter(chosen.detector.values())
            for fold, sha256 in self.detector.items():
                if of_detector[sha256] <= 0 or chosen.detector.get(fold, sha256) != sha256:
                    others.append(f"another detector, {fold}")
                of_detector[sha256] -= 1
        return others


def _same(place: tuple[str, str], sha256: str, chosen: Weights) -> bool:
    return chosen.models.get(place, ("", ""))[1] == sha256
