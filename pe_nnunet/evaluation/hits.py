"""What a protocol makes of one scan: the score at which each embolus is hit, and the scores of false markers."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ScanHits:
    """One scan under one protocol and one tolerance.

    Attributes:
        case_id: The scan.
        embolus_scores: One an embolus: the highest score of the markers that hit it, None where none does.
        false_scores: Scores of the markers that hit nothing.
        volumes_mm3: One an embolus, of the label as it is; empty where the protocol changes the label.
    """

    case_id: str
    embolus_scores: tuple[float | None, ...]
    false_scores: tuple[float, ...]
    volumes_mm3: tuple[float, ...] = ()

    @property
    def true_positives(self) -> int:
        """Emboli that are hit."""
        return sum(score is not None for score in self.embolus_scores)

    def between(self, least_mm3: float, below_mm3: float) -> ScanHits:
        """The scan with the emboli of these volumes alone, and all its false markers."""
        chosen = [
            (score, volume)
            for score, volume in zip(self.embolus_scores, self.volumes_mm3, strict=True)
            if least_mm3 <= volume < below_mm3
        ]
        return replace(
            self,
            embolus_scores=tuple(score for score, _ in chosen),
            volumes_mm3=tuple(volume for _, volume in chosen),
        )
