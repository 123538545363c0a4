"""Overlap and volume agreement between predicted FreeSurfer ids and hand-drawn regions."""

from __future__ import annotations

import numpy as np

from training.labels import BRAIN, scoring_map


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|); two empty masks agree fully."""
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int(np.logical_and(a, b).sum()) / total


def structure_scores(ids: np.ndarray, truth: np.ndarray) -> dict:
    """Per common structure: Dice pooled over the sides, each side's Dice, both volumes in voxels."""
    result = {}
    for name, entry in scoring_map().items():
        mine = np.isin(ids, entry["freesurfer"])
        theirs = np.isin(truth, entry["neuromorphometrics"])
        row = {
            "dice": dice(mine, theirs),
            "predicted": int(mine.sum()),
            "drawn": int(theirs.sum()),
        }
        for side in ("left", "right"):
            if side in entry:
                row[side] = dice(
                    np.isin(ids, entry[side]["freesurfer"]),
                    np.isin(truth, entry[side]["neuromorphometrics"]),
                )
        result[name] = row
    return result


def intraclass_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """ICC(2,1), two-way random effects, absolute agreement, single rater (Shrout and Fleiss 1979)."""
    table = np.stack([first, second], axis=1).astype(float)
    subjects, raters = table.shape
    mean = table.mean()
    rows = raters * ((table.mean(1) - mean) ** 2).sum() / (subjects - 1)
    columns = subjects * ((table.mean(0) - mean) ** 2).sum() / (raters - 1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + mean
    error = (rest**2).sum() / ((subjects - 1) * (raters - 1))
    bottom = rows + (raters - 1) * error + raters * (columns - error) / subjects
    return float((rows - error) / bottom) if bottom > 0 else 0.0


def consistency(first: np.ndarray, second: np.ndarray) -> tuple[float, dict]:
    """Mean Dice between two label maps over the pack's structures that either one holds."""
    values = {}
    for identifier, name, _ in BRAIN:
        a, b = first == identifier, second == identifier
        if identifier != 24 and (a.any() or b.any()):
            values[name] = dice(a, b)
    return float(np.mean(list(values.values()))), values
