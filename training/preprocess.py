"""Scan -> network input, and labels back: the same arithmetic as the product's, in NumPy.

The product does this in Rust. What a network saw in training and what it is given in the page must
be the same numbers, so this file is written step by step as the pack contract says and its results
are stored as golden files that the Rust tests read.

Steps: 1. the pack's axes by permutation and flips (closest to RAS, or the slice axis last); 2. triangle-filter
resampling, one axis at a time, none along an axis that the pack reads at its native spacing; 3. intensity
rule; 4. foreground box; 5. zero padding to multiples of 16.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

MULTIPLE = 16
MINIMUM_SIDE = 32
BOX_THRESHOLD = 0.1
BOX_MARGIN = 8


def closest_axes(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """For each world axis R, A, S the voxel axis nearest to it and its sign (+1 or -1).

    Pairs are chosen greedily, largest direction cosine first, so that every voxel axis is used once.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    cosines = matrix / np.linalg.norm(matrix, axis=0, keepdims=True)
    order, signs = [0, 0, 0], [1, 1, 1]
    free_world, free_voxel = {0, 1, 2}, {0, 1, 2}
    while free_world:
        world, voxel = max(
            ((w, v) for w in sorted(free_world) for v in sorted(free_voxel)),
            key=lambda pair: abs(cosines[pair[0], pair[1]]),
        )
        order[world], signs[world] = voxel, 1 if cosines[world, voxel] >= 0 else -1
        free_world.remove(world)
        free_voxel.remove(voxel)
    return order, signs


def slices_last(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """The in-plane axes in their own order, then the axis of the largest spacing (the last one of equals).

    Oblique slices have no anatomical axis to be closest to, so nothing is flipped.
    """
    spacing = spacing_of(affine)
    thickest = max(range(3), key=lambda axis: (round(spacing[axis] / spacing.max(), 3), axis))
    return [axis for axis in range(3) if axis != thickest] + [thickest], [1, 1, 1]


ORIENTATIONS = {"RAS": closest_axes, "slices": slices_last}


def reorient(volume: np.ndarray, affine: np.ndarray, rule: str = "RAS") -> tuple[np.ndarray, np.ndarray]:
    """Permutes and flips [i, j, k] to the rule's axes; returns the volume and its new affine."""
    order, signs = ORIENTATIONS[rule](affine)
    result = np.transpose(volume, order)
    transform = np.zeros((4, 4))
    transform[3, 3] = 1.0
    for new, (old, sign) in enumerate(zip(order, signs)):
        transform[old, new] = sign
        if sign < 0:
            transform[old, 3] = volume.shape[old] - 1
            result = np.flip(result, axis=new)
    return np.ascontiguousarray(result), np.asarray(affine, dtype=np.float64) @ transform


def restore(volume: np.ndarray, affine: np.ndarray, rule: str = "RAS") -> np.ndarray:
    """The inverse of `reorient`: `volume` on the rule's axes back to the axes of `affine`."""
    order, signs = ORIENTATIONS[rule](affine)
    for new, sign in enumerate(signs):
        if sign < 0:
            volume = np.flip(volume, axis=new)
    return np.ascontiguousarray(np.transpose(volume, np.argsort(order)))


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Voxel sizes in millimetres: the lengths of the affine's first three columns."""
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def resampled_size(size: int, spacing_in: float, spacing_out: float) -> int:
    """max(1, n_in * s_in / s_out rounded half up)."""
    return max(1, int(np.floor(size * spacing_in / spacing_out + 0.5)))


def triangle_weights(size: int, spacing_in: float, spacing_out: float) -> np.ndarray:
    """[n_out, n_in] weights of the antialiased linear filter; rows sum to 1."""
    factor = spacing_out / spacing_in
    count = resampled_size(size, spacing_in, spacing_out)
    centres = (np.arange(count) + 0.5) * factor - 0.5
    distance = np.abs(np.arange(size)[None, :] - centres[:, None]) / max(1.0, factor)
    weights = np.maximum(0.0, 1.0 - distance)
    empty = weights.sum(axis=1) <= 0
    if empty.any():
        nearest = np.clip(np.rint(centres[empty]).astype(int), 0, size - 1)
        weights[np.flatnonzero(empty), nearest] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)


def resample(volume: np.ndarray, spacing: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Separable triangle-filter resampling to `target` spacing; float32, axis 0 first."""
    result = volume.astype(np.float32)
    for axis in range(3):
        if abs(spacing[axis] - target[axis]) < 1e-6 * target[axis]:
            continue
        weights = triangle_weights(result.shape[axis], spacing[axis], target[axis])
        moved = np.tensordot(weights.astype(np.float32), result, axes=(1, axis))
        result = np.moveaxis(moved, 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def normalise(volume: np.ndarray, rule: dict) -> np.ndarray:
    """Applies the pack's intensity rule; an empty volume comes back as zeros."""
    if rule["rule"] == "percentile":
        values = volume[volume > 0]
        if values.size == 0:
            return np.zeros_like(volume, dtype=np.float32)
        low, high = np.percentile(values, [rule["low"], rule["high"]])
        scale = 1.0 / max(high - low, 1e-12)
        return np.clip((volume - low) * scale, 0.0, 1.0).astype(np.float32)
    if rule["rule"] == "zscore_nonzero":
        mask = volume != 0
        if not mask.any():
            return np.zeros_like(volume, dtype=np.float32)
        values = volume[mask].astype(np.float64)
        deviation = max(values.std(), 1e-12)
        return np.where(mask, (volume - values.mean()) / deviation, 0.0).astype(np.float32)
    raise ValueError(f"unknown intensity rule {rule['rule']!r}")


def foreground_box(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and stop (exclusive) of the voxels above 0.1, enlarged by 8 a side and clipped."""
    mask = volume > BOX_THRESHOLD
    if not mask.any():
        return np.zeros(3, dtype=int), np.array(volume.shape)
    start, stop = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        start[axis] = max(0, hit[0] - BOX_MARGIN)
        stop[axis] = min(volume.shape[axis], hit[-1] + 1 + BOX_MARGIN)
    return start, stop


def is_native(wanted: float | str | None) -> bool:
    """Whether an axis keeps the scan's own spacing: null in a pack, "native" in a config (TOML has no null)."""
    return not isinstance(wanted, (int, float))


def padded_side(size: int, native: bool = False) -> int:
    """A multiple of 16; at least 32 but for slices at native spacing, whose other sides are long enough."""
    smallest = MULTIPLE if native else MINIMUM_SIDE
    return max(smallest, -(-size // MULTIPLE) * MULTIPLE)


def reading_spacing(spacing: np.ndarray, shape: tuple, preprocessing: dict, stated: bool) -> np.ndarray:
    """Spacing that the network's input is made with.

    Where a file does not state its unit and the pack has `field_mm`, the longer in-plane side is taken to
    cover that field of view, so that the heart has its usual size for the network. It measures nothing.
    """
    if stated or "field_mm" not in preprocessing:
        return spacing
    longest = max(shape[axis] * spacing[axis] for axis in (0, 1))
    return spacing * np.array([preprocessing["field_mm"] / longest] * 2 + [1.0])


@dataclass
class Prepared:
    """A network input and what is needed to bring labels back to the scan's own grid."""

    input: np.ndarray
    """[x, y, z] float32, padded."""
    pad_before: np.ndarray
    box_start: np.ndarray
    box_stop: np.ndarray
    grid_shape: tuple[int, int, int]
    """Shape of the resampled volume."""
    ras_shape: tuple[int, int, int]
    spacing: np.ndarray
    """Of the scan on the pack's axes, as it is read, millimetres."""
    target: np.ndarray
    affine: np.ndarray
    """Of the scan as it was given."""
    rule: str = "RAS"


def on_grid(volume: np.ndarray, affine: np.ndarray, preprocessing: dict, stated: bool = True):
    """Steps 1 and 2: the resampled grid, the shape before it, and both spacings."""
    turned, turned_affine = reorient(volume, affine, preprocessing["orientation"])
    spacing = reading_spacing(spacing_of(turned_affine), turned.shape, preprocessing, stated)
    wanted = preprocessing["spacing_mm"]
    target = np.array([own if is_native(want) else want for own, want in zip(spacing, wanted)], dtype=np.float64)
    return resample(turned, spacing, target), turned.shape, spacing, target


def prepare(volume: np.ndarray, affine: np.ndarray, preprocessing: dict, stated: bool = True) -> Prepared:
    """Runs the five steps on a scan [i, j, k]; `preprocessing` is the pack's own block.

    `stated`: whether the file says that its spacing is in millimetres.
    """
    grid, turned_shape, spacing, target = on_grid(volume, affine, preprocessing, stated)
    grid = normalise(grid, preprocessing["intensity"])
    start, stop = foreground_box(grid)
    box = grid[tuple(slice(a, b) for a, b in zip(start, stop))]
    sides = np.array([padded_side(n, is_native(want)) for n, want in zip(box.shape, preprocessing["spacing_mm"])])
    before = (sides - np.array(box.shape)) // 2
    padded = np.zeros(sides, dtype=np.float32)
    padded[tuple(slice(b, b + n) for b, n in zip(before, box.shape))] = box
    return Prepared(
        padded, before, start, stop, grid.shape, turned_shape, spacing, target, affine, preprocessing["orientation"]
    )


def around(prepared: Prepared, labels: np.ndarray, window: list[int]) -> Prepared | None:
    """At most `window` voxels a side around the largest piece of `labels`; None where that is all."""
    pieces, count = ndimage.label(labels > 0)
    if count == 0:
        return None
    sizes = ndimage.sum(labels > 0, pieces, range(1, count + 1))
    box = ndimage.find_objects(pieces)[int(np.argmax(sizes))]
    length = prepared.box_stop - prepared.box_start
    side = np.minimum(window, length)
    if (side == length).all():
        return None
    centre = np.array([(cut.start + cut.stop) // 2 for cut in box])
    first = prepared.pad_before
    start = np.clip(centre - side // 2, first, first + length - side)
    least = np.minimum(window, prepared.input.shape)
    sides = np.maximum(-(-side // MULTIPLE) * MULTIPLE, least)
    before = (sides - side) // 2
    padded = np.zeros(sides, dtype=np.float32)
    part = prepared.input[tuple(slice(a, a + n) for a, n in zip(start, side))]
    padded[tuple(slice(b, b + n) for b, n in zip(before, side))] = part
    begin = start - first + prepared.box_start
    return replace(prepared, input=padded, pad_before=before, box_start=begin, box_stop=begin + side)


def linear_taps(size_in: int, spacing_in: float, size_out: int, spacing_out: float, offset: float):
    """Lower index, upper index and upper weight to read a grid at the centres of another grid.

    `offset` is the position of the read array's first voxel on its own grid (a cut box).
    """
    centres = (np.arange(size_out) + 0.5) * spacing_out / spacing_in - 0.5 - offset
    centres = np.clip(centres, 0, size_in - 1)
    low = np.minimum(np.floor(centres).astype(np.int64), max(size_in - 2, 0))
    high = np.minimum(low + 1, size_in - 1)
    return low, high, (centres - low).astype(np.float32)


def to_scan_labels(probabilities: np.ndarray, prepared: Prepared) -> np.ndarray:
    """[classes, x, y, z] on the padded grid -> class index on the scan's own grid (uint8).

    Each class's probability is interpolated trilinearly to the scan's grid and the largest wins
    (a per-label vote); voxels outside the foreground box are background.
    """
    cut = tuple(
        slice(b, b + stop - start)
        for b, start, stop in zip(prepared.pad_before, prepared.box_start, prepared.box_stop)
    )
    best = np.full(prepared.ras_shape, -1.0, dtype=np.float32)
    labels = np.zeros(prepared.ras_shape, dtype=np.uint8)
    # The part of the scan that the box covers.
    ratio = prepared.target / prepared.spacing
    first = np.maximum(0, np.floor(prepared.box_start * ratio).astype(int))
    last = np.minimum(prepared.ras_shape, np.ceil(prepared.box_stop * ratio).astype(int))
    region = tuple(slice(a, b) for a, b in zip(first, last))
    taps = []
    for axis in range(3):
        low, high, weight = linear_taps(
            prepared.box_stop[axis] - prepared.box_start[axis],
            prepared.target[axis],
            prepared.ras_shape[axis],
            prepared.spacing[axis],
            prepared.box_start[axis],
        )
        taps.append((low[region[axis]], high[region[axis]], weight[region[axis]]))
    for index in range(probabilities.shape[0]):
        values = probabilities[index][cut].astype(np.float32)
        for axis, (low, high, weight) in enumerate(taps):
            shape = [1, 1, 1]
            shape[axis] = -1
            weight = weight.reshape(shape)
            values = np.take(values, low, axis) * (1 - weight) + np.take(values, high, axis) * weight
        better = values > best[region]
        labels[region][better] = index
        best[region][better] = values[better]
    return restore(labels, prepared.affine, prepared.rule)
