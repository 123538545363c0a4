"""The card of the pretrained pack, from the pack's own description: no figure is typed by hand."""

from __future__ import annotations

from pathlib import Path

from training import pack

HEAD = """# Pretrained encoder and renderer, 2 mm

An encoder that was taught, without labels of structures, to hold the anatomy of a scan apart from how it was acquired (how far
it does, see Scores), and a decoder without skips that renders the anatomy again. It **segments nothing**. `prism abnormality` (the page: Lesions, "Show
abnormality map") compares a scan with its own rendering; `prism encode` and the page's Features read its maps and ask
its heads (TR, TE, flip angle; body part), whose answers were not scored.

These are Prism's own weights; they are **not** the published PRISM weights, and none of that publication's results apply
to them. Research and education only; not a medical device.
"""

LIMITS = """## What goes wrong

- A short training on two CPU cores, on crops of 48 x 48 x 48 voxels. The rendering is blurred: 3 x 3 x 3 places with 192
  channels are all that it knows of a crop. What is smaller than the blur is lost in the scan as well before the two are
  compared, so **small lesions cannot show**.
- A high value says that the decoder did not render a place, not that it is ill. Ventricles, vessels, the skull base, borders
  of the field of view and anything that is rare in the training data get high values in healthy heads.
- The map knows no lesion: its ends are where a scan differs most from its rendering, and every scan has such places.
- All but the T1w heads and the cine of the heart were synthetic scans. There was one subject each of abdomen, knee, head and neck.
"""


def number(value: float) -> str:
    """Two digits without the leading zero of shares."""
    return f"{value:.2f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.2f}"


def provenance(document: dict) -> str:
    told = document["provenance"]
    data = "; ".join(f"{one['name']} ({one['licence']})" for one in told["data"])
    return f"""## How it was made

| | |
| --- | --- |
| network | residual pyramid, 16-32-64-128-192 filters; modulated decoder without skips, style of 64 |
| stored as | int8, the large kernels in 15 of its values |
| training data | {data} |
| steps, time, hardware | {told["steps"]} steps, {told["hardware"]} |
| losses | reconstruction of damaged crops, TR, TE and flip angle, body part, contrastive, adversarial (weights in `training/configs/pretrain.toml`) |
| code | `training/pretrain.py`, `training/pretraining/`, commit {told["commit"][:12]} |
"""


def separation(scores: dict) -> str:
    """Table of training.probes; one sentence where they were not run on these weights."""
    probed = scores.get("pretraining") or {}
    if "pretrained" not in probed:
        return "The separation of anatomy and acquisition was not measured on these weights.\n"
    lines = [
        "`python -m training.probes`, all of it in `training/results/pretraining.json`. Linear probes and retrieval on "
        "scans that were not trained on: of head and heart those of other people, of abdomen, knee, head and neck other crops, "
        "tissues and sequences of the one subject that there is of each; in brackets the same network untrained, the floor that counts.",
        "",
        "| what is read | from the structure feature | from the sequence feature | chance |",
        "| --- | --- | --- | --- |",
    ]
    rows = {"sequence": "from", "body part": "from", "same anatomy, other sequence (synthetic)": "by"}
    for name, word in rows.items():
        cells = []
        for feature in ("structure", "sequence"):
            values = [
                number(probed[key][name][f"{word} {feature} feature"])
                for key in ("pretrained", "untrained")
                if key in probed
            ]
            cells.append(values[0] + (f" ({values[1]})" if len(values) > 1 else ""))
        chance = number(probed["pretrained"][name]["chance"])
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {chance} |")
    return "\n".join(lines) + "\n"


def areas(row: dict, kind: str) -> str:
    """Two cells: of the map, and of the grey as it is and smoothed; packs that were scored before lack some."""
    cells = [number(row[key]) if (key := f"{kind}{name}auc") in row else "?" for name in ("", "grey_", "baseline_")]
    return f"{cells[0]} | {cells[1]}, {cells[2]}"


def abnormality(scores: dict) -> str:
    found = scores.get("abnormality")
    if not found:
        return "The abnormality map was not scored on these weights.\n"
    lines = [
        "`python -m training.lesions.abnormality target/debug/prism`, all of it in `training/results/abnormality.json`. "
        "Area under the curve (AUC) for drawn lesions of multiple sclerosis, over the voxels of the brain; best Dice of any "
        "threshold, chosen on the mask itself and so too good. Nothing was tuned on these scans. Size: how far the map is from "
        "0; its baselines are the distance of the scan, as it is and smoothed, from the brain's median. Signed, as the page's "
        "two colours show it: brighter counts on FLAIR and T2, darker on T1; its baselines are the greys with the same sign.",
        "",
        "| scan | drawn, mL | AUC of the size | of the grey: plain, smoothed | AUC signed | of the grey: plain, smoothed | best Dice | of the "
        "smoothed grey | drawn voxels above the healthy 99th percentile |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in found["scans"].items():
        lines.append(
            f"| {name} | {row['drawn_ml']:.1f} | {areas(row, '')} | {areas(row, 'signed_')} | "
            f"{number(row['dice'])} | {number(row['baseline_dice'])} | {100 * row['above_healthy']:.0f} % |"
        )
    lines += [
        f"| mean | | {areas(found, 'mean_')} | {areas(found, 'mean_signed_')} | | | |",
        "",
        f"In {found['healthy_scans']} healthy scans 99 of 100 voxels stay below {found['healthy_99']:.1f} deviations "
        f"(median; worst scan {found['healthy_99_worst']:.1f}).",
    ]
    return "\n".join(lines) + "\n"


def text(document: dict) -> str:
    scores = document.get("scores", {})
    parts = [HEAD, provenance(document), "## Scores\n", separation(scores), abnormality(scores), LIMITS]
    return "\n".join(parts)


def write(path: Path) -> None:
    """Writes the card beside the pack."""
    path.with_suffix(".md").write_text(text(pack.document(path)))
