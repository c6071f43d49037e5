"""How DICOM objects say what found the emboli: settings, networks, and the terms of their weights."""

from __future__ import annotations

from pe_nnunet.outputs.case import CaseResult

NAME = "pe-nnunet"
MOST_LETTERS = 500  # of a text from elsewhere


def algorithm_parameters(case: CaseResult) -> dict[str, str]:
    """The parameters of the algorithm, by name."""
    settings = case.emboli.settings
    parameters = {"threshold": f"{settings.threshold:g}", "smallest volume in mm3": f"{settings.min_volume_mm3:g}"}
    parameters |= {f"network {k}": f"{m.model} fold {m.fold} {m.sha256[:16]}" for k, m in enumerate(case.models, 1)}
    parameters |= {f"notice of {t.model}": _plain(t.notice) for t in case.terms if t.notice}
    parameters |= {f"licence of {t.model}": _plain(t.licence) for t in case.terms if t.licence}
    return parameters | {f"to cite for {t.model}": _plain(t.citation) for t in case.terms if t.citation}


def _plain(text: str) -> str:
    """A text on one line, short, in letters that every character set of a series has."""
    return " ".join(text.split())[:MOST_LETTERS].encode("ascii", "replace").decode()
