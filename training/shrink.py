"""Shrinks structures of a scan by a known smooth field: what a follow-up should find.

The second scan shows at x what the first shows at x + u(x); u is the sum over structures of a scale
times minus the gradient of their blurred mask, so that it points out of each and space never folds. The
scales are found by trial, so that each structure's volume (its mask seen through the field, which is the
integral of the field's Jacobian over it) falls by the wanted share.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

BLUR_MM = 2.5
ROUNDS = 8


def field_of(masks: list[np.ndarray], spacing: np.ndarray) -> list[np.ndarray]:
    """[3, x, y, z] in voxels for each mask, pointing out of it, its largest vector a voxel long."""
    fields = []
    for mask in masks:
        blurred = gaussian_filter(mask.astype(np.float32), BLUR_MM / spacing)
        slopes = -np.stack(np.gradient(blurred, *spacing)) / spacing[:, None, None, None]
        fields.append(slopes / np.linalg.norm(slopes, axis=0).max())
    return fields


def seen(data: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Data at x + u(x), trilinear."""
    places = np.indices(data.shape, dtype=np.float32) + field
    return map_coordinates(data.astype(np.float32), places, order=1, mode="nearest")


def shrunk(data: np.ndarray, masks: list[np.ndarray], share: float, spacing) -> tuple:
    """The scan with each structure smaller by `share`, and by how much each really is."""
    spacing = np.asarray(spacing, np.float32)
    fields = field_of(masks, spacing)
    wholes = [float(mask.sum()) for mask in masks]
    scales = np.full(len(masks), share, np.float32)
    for _ in range(ROUNDS):
        field = sum(scale * one for scale, one in zip(scales, fields))
        lost = np.array([1 - float(seen(mask, field).sum()) / whole for mask, whole in zip(masks, wholes)])
        scales = scales * np.clip(share / np.maximum(lost, 1e-4), 0.3, 3)
    return seen(data, field), lost
