"""Label tables: the 33 outputs of the brain pack, their colours, and the mapping used for scoring."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent

# FreeSurfer id, name, colour (FreeSurfer's own colour table). Index in the pack = position + 1.
BRAIN = [
    (2, "Left-Cerebral-White-Matter", (245, 245, 245)),
    (3, "Left-Cerebral-Cortex", (205, 62, 78)),
    (4, "Left-Lateral-Ventricle", (120, 18, 134)),
    (5, "Left-Inf-Lat-Vent", (196, 58, 250)),
    (7, "Left-Cerebellum-White-Matter", (220, 248, 164)),
    (8, "Left-Cerebellum-Cortex", (230, 148, 34)),
    (10, "Left-Thalamus", (0, 118, 14)),
    (11, "Left-Caudate", (122, 186, 220)),
    (12, "Left-Putamen", (236, 13, 176)),
    (13, "Left-Pallidum", (12, 48, 255)),
    (14, "3rd-Ventricle", (204, 182, 142)),
    (15, "4th-Ventricle", (42, 204, 164)),
    (16, "Brain-Stem", (119, 159, 176)),
    (17, "Left-Hippocampus", (220, 216, 20)),
    (18, "Left-Amygdala", (103, 255, 255)),
    (24, "CSF", (60, 60, 60)),
    (26, "Left-Accumbens-area", (255, 165, 0)),
    (28, "Left-VentralDC", (165, 42, 42)),
    (41, "Right-Cerebral-White-Matter", (245, 245, 245)),
    (42, "Right-Cerebral-Cortex", (205, 62, 78)),
    (43, "Right-Lateral-Ventricle", (120, 18, 134)),
    (44, "Right-Inf-Lat-Vent", (196, 58, 250)),
    (46, "Right-Cerebellum-White-Matter", (220, 248, 164)),
    (47, "Right-Cerebellum-Cortex", (230, 148, 34)),
    (49, "Right-Thalamus", (0, 118, 14)),
    (50, "Right-Caudate", (122, 186, 220)),
    (51, "Right-Putamen", (236, 13, 176)),
    (52, "Right-Pallidum", (13, 48, 255)),
    (53, "Right-Hippocampus", (220, 216, 20)),
    (54, "Right-Amygdala", (103, 255, 255)),
    (58, "Right-Accumbens-area", (255, 165, 0)),
    (60, "Right-VentralDC", (165, 42, 42)),
]
BRAIN_IDS = [0] + [identifier for identifier, _, _ in BRAIN]
CLASSES = len(BRAIN_IDS)
LEFT_RIGHT = {
    2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52,
    17: 53, 18: 54, 26: 58, 28: 60,
}  # fmt: skip
CONTRASTS = ["T1w", "T2w", "FLAIR", "PD", "other"]


def label_table() -> list[dict]:
    """The pack's `labels`: index, FreeSurfer id, name, colour, side and the index of the pair."""
    index_of = {identifier: index for index, identifier in enumerate(BRAIN_IDS)}
    pairs = {**LEFT_RIGHT, **{right: left for left, right in LEFT_RIGHT.items()}}
    table = []
    for identifier, name, colour in BRAIN:
        side = "left" if name.startswith("Left") else "right" if name.startswith("Right") else None
        pair = index_of[pairs[identifier]] if identifier in pairs else None
        table.append(
            {
                "index": index_of[identifier],
                "id": identifier,
                "name": name,
                "color": list(colour),
                "side": side,
                "pair": pair,
            }
        )
    return table


def scoring_map() -> dict:
    """The 16 common structures: name -> {"freesurfer": ids, "neuromorphometrics": numbers}."""
    return json.loads((HERE / "mappings" / "neuromorphometrics.json").read_text())["structures"]
