"""The text of a card, in Markdown, from its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.errors import CODES
from pe_nnunet.errors.shown import shown, shown_lines
from pe_nnunet.inference.shipped import SHIPPED
from pe_nnunet.model_cards.scores import label_of

NOT_STATED = "not stated"
FEWEST_NEGATIVES = 10  # scans without emboli, from which on a specificity says something


def body(facts: Mapping[str, Any]) -> str:
    """All of a card that is not metadata.

    Args:
        facts: Of the card.
    """
    model, stated = facts["model"], facts["stated"]
    parts = [
        f"# {plain(model['name'])}, {plain(model['dataset'])}",
        "Finds emboli in CT pulmonary angiography (CTPA) with pe-nnunet, a plugin of nnU-Net v2: as masks, and as "
        f"findings with a score each. {DISCLAIMER}",
        *([f"**{plain(model['notice'])}**"] if model.get("notice") else []),
        *([plain(model["description"])] if model["description"] else []),
        f"- Licence of the weights: {plain(stated['licence']) or NOT_STATED}",
        "## Intended use and limits",
        "For research on finding pulmonary emboli: to compare methods, to train further models from, to try on one's "
        "own scans. It is not for reading patients' scans, with or without a radiologist.",
        *([plain(stated["limits"])] if stated["limits"] else []),
        "Never measured:",
        _bullets(_never_measured(facts)),
        *_training(facts),
        *_network(facts),
        *_calibration(facts["calibration"]),
        *(part for evaluation in facts["evaluations"] for part in _evaluation(evaluation)),
        "## Citation",
        _block(stated["citation"]) if stated["citation"] else NOT_STATED[0].upper() + NOT_STATED[1:] + ".",
        "## Use",
        _block(_use(model)),
        "## Files",
        _files(facts),
        "`pe-nnunet verify FOLDER` compares this card with the files of the model.",
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: Any) -> str:
    r"""Text from files of others as a part of a line: their HTML, links, code and cells of tables stay text.

    Example:
        >>> plain("a|b <script> [x](y)")
        'a\\|b &lt;script&gt; \\[x\\](y)'
    """
    line = escape(shown(str(text)), quote=False)
    for sign in "\\`*[]|":
        line = line.replace(sign, f"\\{sign}")
    return f"\\{line}" if line.startswith(("#", "-", "+", "=", "~", "_")) else line


def _use(model: Mapping[str, Any]) -> str:
    if model["name"] in SHIPPED:
        return f"pe-nnunet-predict-fused -i SCANS -o OUT -m {model['name']}"
    place = f"nnUNet_results/{model['dataset']}/{model['name']}"
    return f"pe-nnunet install-model MODEL.zip\npe-nnunet-predict-fused -i SCANS -o OUT -m {place}"


def _block(text: str) -> str:
    return "```\n" + shown_lines(text.strip().replace("\r\n", "\n").replace("```", "'''")) + "\n```"


def _table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "| " + " | ".join("---" for _ in heading) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _never_measured(facts: Mapping[str, Any]) -> list[str]:
    """What nobody may conclude from the numbers of this card."""
    lines = []
    if not facts["evaluations"]:
        lines.append(
            "how it does on scans that neither training nor calibration has seen: no evaluation is on this card"
        )
    if facts["calibration"] is None:
        lines.append("at which threshold it does best: no calibration goes with it, and it runs with default settings")
    elif facts["calibration"]["on_other_patients"] is None:
        lines.append("what its calibration is worth on other patients than those that it was made on")
    for evaluation in facts["evaluations"]:
        name, negatives = plain(evaluation["name"]), evaluation["scans"] - evaluation["positive_scans"]
        if negatives < FEWEST_NEGATIVES:
            lines.append(f"false alarms in people without emboli: {name} has {negatives} such scans")
        if evaluation["failed"]:
            lines.append(f"{evaluation['failed']} scans of {name}: they failed, and are in none of its numbers")
        lines += [f"{name}, {code}: {CODES.get(code, 'a doubt')}" for code in evaluation["doubts"]]
    doubts = {fold["doubt"] for fold in facts["folds"] if fold["doubt"]}
    lines += [f"whether scans were held out for sure: {plain(doubt)}" for doubt in sorted(doubts)]
    return [
        *lines,
        "scanners, hospitals, contrast phases and slice thicknesses other than those of the scans named here",
        "differences between groups of patients: age, sex, pregnancy, cancer, earlier emboli",
        "whether readers find more, or are faster, with it",
    ]


def _training(facts: Mapping[str, Any]) -> list[str]:
    model = facts["model"]
    rows = [
        (
            fold["fold"],
            "-" if fold["epochs"] is None else fold["epochs"],
            *(value for part in ("trained_on", "validated_on") for value in _scans(fold[part])),
        )
        for fold in facts["folds"]
    ]
    count = "" if model["training_scans"] is None else f", {model['training_scans']} scans for training"
    heading = ("fold", "epochs", "scans trained on", "their SHA-256", "scans validated on", "their SHA-256")
    parts = [
        "## Training",
        f"Dataset {plain(model['dataset'])}{count}. Labels: {plain(', '.join(map(str, model['labels'])))}. "
        f"Channels: {plain(', '.join(map(str, model['channels'])))}.",
        _table(heading, rows),
        "A SHA-256 of scans is that of all their hashes, sorted: it is the same for the same scans, whatever they are "
        "called.",
    ]
    for recipe in facts["recipes"]:
        folds = ", ".join(map(str, recipe["folds"]))
        values = " ".join(f"{key}={value}" for key, value in recipe["values"].items())
        parts += [f"Recipe of fold {folds}:", _block(values)]
    if not facts["recipes"]:
        parts.append("The checkpoints keep no recipe: that of the trainer named below.")
    return parts


def _scans(part: Mapping[str, Any] | None) -> tuple[str, str]:
    if part is None:
        return "-", "not recorded"
    return str(part["scans"]), part["sha256"] or "not recorded"


def _network(facts: Mapping[str, Any]) -> list[str]:
    network, plans = facts["network"], facts["plans"]
    features = network["features"] or ()  # one number for all stages, or one each
    trainers = sorted({fold["trainer"] for fold in facts["folds"]})
    rows = [
        ("network", f"{plain(network['class'])}, {network['numbers']:,} numbers"),
        ("features", ", ".join(map(str, [features] if isinstance(features, int) else features)) or "-"),
        ("plans", f"{plain(plans['name'])}, {plain(plans['configuration'])}, planner {plain(plans['planner']) or '-'}"),
        ("trainer", plain(", ".join(trainers))),
        ("patch", " x ".join(map(str, plans["patch_size"])) + f", {plans['batch_size']} a batch"),
        ("spacing", " x ".join(f"{mm:.4g}" for mm in plans["spacing_mm"]) + " mm"),
        ("normalisation", plain(", ".join(plans["normalisation"]))),
    ]
    return ["## Network and plans", _table(("", ""), rows)]


def _calibration(calibration: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    scans = "" if calibration["scans"] is None else f" on {calibration['scans']} scans"
    models = ", ".join(
        plain(name) + ("" if weight is None else f" (weight {weight:.3g})")
        for name, weight in calibration["models"].items()
    )
    rows = [
        (
            name,
            "-" if "threshold" not in point else f"{point['threshold']:g}",
            "-" if "threshold" not in point else f"{point['min_volume_mm3']:g} mm³",
            *_shown_point(point),
        )
        for name, point in calibration["points"].items()
    ]
    heading = ("settings", "threshold", "from", "sensitivity", "false positives a scan", "F1", "emboli found")
    by = plain(calibration["objective"]) or "objective"
    parts = [
        "## Calibration",
        f"By the highest {by}{scans}, for {models}. These are numbers of the scans that the settings were chosen on, "
        "and better than elsewhere:",
        _table(heading, rows),
    ]
    if any("detection" in name for name in calibration["points"]):
        parts.append("Detection is that of a detector with a record of its own, `detector.json`.")
    held = calibration["on_other_patients"]
    if held is not None:
        shown_numbers = (
            f"sensitivity {_estimate(held['sensitivity'])}, {_estimate(held['false_positives_per_scan'], 2)} false "
            f"positives a scan, F1 {_estimate(held['f1'])}"
        )
        parts.append(
            f"The same choice, made on other patients than it is counted on (cross-validation, {held['patients']} "
            f"patients, {held['found']} of {held['emboli']} emboli): {shown_numbers}."
        )
    return parts


def _shown_point(point: Mapping[str, Any]) -> tuple[str, ...]:
    digits = {"sensitivity": 3, "false_positives_per_scan": 2, "f1": 3}
    found = "-" if point["found"] is None else f"{point['found']} of {point['emboli']}"
    return (*("-" if point[key] is None else f"{point[key]:.{n}f}" for key, n in digits.items()), found)


def _evaluation(evaluation: Mapping[str, Any]) -> list[str]:
    rows = [(label_of(name), _estimate(one)) for name, one in evaluation["metrics"].items()]
    for curve in evaluation["sensitivity_at_fp"]:
        how = f"protocol {plain(curve['protocol'])}, tolerance {curve['eps_mm']:g} mm"
        rows += [
            (f"sensitivity at {plain(rate)} false positives a scan, {how}", _estimate(one))
            for rate, one in curve["at"].items()
        ]
    source, version = plain(evaluation["sha256"]), plain(evaluation["pe_nnunet"])
    return [
        f"## Evaluation: {plain(evaluation['name'])}",
        f"{evaluation['scans']} scans, {evaluation['positive_scans']} of them with emboli, {evaluation['emboli']} "
        "emboli. Value and 95 % interval, by a bootstrap over patients:",
        _table(("", "value [95 % interval]"), rows),
        f"From a summary.json with SHA-256 {source}, written by pe-nnunet {version}. That it is of this model is the "
        "word of whoever wrote the card.",
    ]


def _estimate(one: Mapping[str, Any], digits: int = 3) -> str:
    if one["value"] is None:
        return "-"
    interval = "" if one["low"] is None else f" [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"
    return f"{one['value']:.{digits}f}{interval}"


def _files(facts: Mapping[str, Any]) -> str:
    rows = [(name, sha256) for name, sha256 in facts["sha256"].items()]
    if facts["calibration"] is not None:
        rows.append(("fusion.json", facts["calibration"]["sha256"]))
    rows += [(f"fold_{fold['fold']}/{plain(fold['checkpoint'])}", fold["sha256"]) for fold in facts["folds"]]
    return _table(("file", "SHA-256"), rows)
