"""Builds the training cache from the shared label maps, and the development scans.

Each whole-head label map is turned to RAS, cut to the brain plus a margin, and stored as one uint16
a voxel: the position of the label in the generation list (6 bits) plus 64 times the distance in
millimetres to the nearest brain voxel, capped at 20. One look-up then answers "what is here" and
"would a skull-strip of r millimetres keep it".

    python -m training.prepare --data ../shared/data --cache CACHE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from training import labels, preprocess
from training.paths import cache_folder, data_folder, development_folder

MARGIN_MM = 44
MAXIMUM_DISTANCE = 20
DEVELOPMENT_SUBJECTS = ["1000", "1012", "1039"]
PREPROCESSING = {
    "orientation": "RAS",
    "spacing_mm": [2.0, 2.0, 2.0],
    "intensity": {"rule": "percentile", "low": 0.5, "high": 99.5},
    "window": [96, 112, 96],
    "overlap": 0.5,
}


def preprocessing(spacing: float = 2.0, window: list[int] | None = None) -> dict:
    """PREPROCESSING at another spacing (millimetres), with another window (voxels)."""
    return {**PREPROCESSING, "spacing_mm": [spacing] * 3, "window": window or PREPROCESSING["window"]}


def brain_tissue(ids: np.ndarray) -> np.ndarray:
    """Brain without the surrounding CSF (24), optic chiasm (85) or vessels (30, 62)."""
    tissue = [2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 25, 26, 28, 136, 137]
    tissue += [41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 57, 58, 60, 163, 164]
    return np.isin(ids, tissue)


def brain_cut(tissue: np.ndarray) -> tuple[tuple[slice, ...], list[float]]:
    """The brain's box enlarged by the margin, and the brain's centre in the voxels of that box."""
    where = np.argwhere(tissue)
    start = np.maximum(where.min(0) - MARGIN_MM, 0)
    stop = np.minimum(where.max(0) + 1 + MARGIN_MM, tissue.shape)
    centre = (where.min(0) + where.max(0)) / 2.0 - start
    return tuple(slice(a, b) for a, b in zip(start, stop)), centre.tolist()


def pack_voxels(ids: np.ndarray, generation: np.ndarray) -> np.ndarray:
    """FreeSurfer ids (RAS, 1 mm) -> label position and distance from the brain in one uint16 a voxel."""
    lookup = np.zeros(ids.max() + 1, dtype=np.uint16)
    for index, identifier in enumerate(generation):
        if identifier <= ids.max():
            lookup[identifier] = index
    distance = ndimage.distance_transform_edt(~brain_tissue(ids))
    packed = lookup[ids] + 64 * np.minimum(np.rint(distance), MAXIMUM_DISTANCE).astype(np.uint16)
    # A border of air, so that sampling outside the cut (clamped) finds nothing.
    border(packed, np.uint16(64 * MAXIMUM_DISTANCE))
    return packed


def border(volume: np.ndarray, value: int) -> None:
    """Sets the six faces, in place."""
    for axis in range(3):
        for end in (0, -1):
            face = [slice(None)] * 3
            face[axis] = end
            volume[tuple(face)] = value


def pack_label_map(path: Path, generation: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The packed uint16 volume (RAS, 1 mm) and the centre of the brain in its voxels."""
    image = nibabel.load(path)
    ids, affine = preprocess.reorient(np.asarray(image.dataobj).astype(np.int32), image.affine)
    if not np.allclose(preprocess.spacing_of(affine), 1.0, atol=1e-3):
        raise ValueError(f"{path.name}: spacing {preprocess.spacing_of(affine)} is not 1 mm")
    cut, centre = brain_cut(brain_tissue(ids))
    return pack_voxels(ids[cut], generation), centre


def ventricle_millilitres(packed: np.ndarray, generation: np.ndarray) -> float:
    """Volume of both lateral ventricles with their inferior horns."""
    return float(np.isin(generation[packed & 63], [4, 5, 43, 44]).sum() / 1000)


def ventricle_field(packed: np.ndarray, generation: np.ndarray) -> np.ndarray:
    """Outward direction from the ventricles, fading over a centimetre; [3, x/2, y/2, z/2] float16.

    Moving the reading position along it makes every ventricle narrower (or wider, with the other
    sign): the twenty heads have mostly wide ventricles, young people's are slits.
    """
    ventricles = [4, 5, 43, 44, 14, 15, 136, 137, 163, 164]
    mask = np.isin(generation[packed & 63], ventricles)
    where = np.argwhere(mask)
    start = np.maximum(where.min(0) - 24, 0) // 2 * 2
    stop = np.minimum(where.max(0) + 25, mask.shape)
    cut = tuple(slice(a, b) for a, b in zip(start, stop))
    inside = mask[cut]
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 0.8)
    weight = np.exp(-((np.maximum(distance, 0) / 9.0) ** 2))
    shape = tuple((n + 1) // 2 for n in packed.shape)
    field = np.zeros((3, *shape), dtype=np.float16)
    place = tuple(slice(a // 2, a // 2 + (b - a + 1) // 2) for a, b in zip(start, stop))
    for axis, slope in enumerate(np.gradient(distance)):
        field[(axis, *place)] = (slope * weight)[::2, ::2, ::2]
    return field


def prepare_brain(data: Path, cache: Path) -> None:
    folder = cache / "brain"
    folder.mkdir(parents=True, exist_ok=True)
    generation = np.load(data / "labelmaps_brain" / "priors" / "generation_labels.npy")
    centres, millilitres = {}, {}
    for path in sorted((data / "labelmaps_brain").glob("training_seg_*.nii.gz")):
        packed, centre = pack_label_map(path, generation)
        name = path.name.removesuffix(".nii.gz")
        np.save(folder / f"{name}.npy", packed)
        np.save(folder / f"{name}-ventricles.npy", ventricle_field(packed, generation))
        centres[name] = centre
        millilitres[name] = ventricle_millilitres(packed, generation)
        print(name, packed.shape, [round(value, 1) for value in centre], flush=True)
    (folder / "index.json").write_text(json.dumps({"centres": centres, "ventricles_ml": millilitres}, indent=1))


def prepare_development(data: Path, cache: Path, spacing: float = 2.0) -> None:
    """Stores the three development scans' network inputs (never trained on) at `spacing` millimetres."""
    folder = development_folder(cache, spacing)
    folder.mkdir(parents=True, exist_ok=True)
    for subject in DEVELOPMENT_SUBJECTS:
        source = data / "eval_t1_labelled"
        scan = nibabel.load(source / f"{subject}_T1w_brain.nii.gz")
        truth = np.asarray(nibabel.load(source / f"{subject}_glm.nii.gz").dataobj)
        prepared = preprocess.prepare(np.asarray(scan.dataobj), scan.affine, preprocessing(spacing))
        np.savez(folder / f"{subject}.npz", truth=truth.astype(np.int16), **vars(prepared))
        print(subject, prepared.input.shape, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--spacing", type=float, default=2.0, help="of the development scans, millimetres")
    arguments = parser.parse_args()
    assert labels.CLASSES == 33
    prepare_brain(arguments.data, arguments.cache)
    prepare_development(arguments.data, arguments.cache, arguments.spacing)


if __name__ == "__main__":
    main()
