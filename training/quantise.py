"""int8 weights: symmetric, one scale per output channel (dimension 0).

A tensor is quantised when it has at least 1024 elements and at least two dimensions, except the
segmentation head, whose rounding would shift class boundaries directly. Everything else stays float32.

Packs written from now on use 63 of the 255 values in their large kernels. Those are nearly all of a pack
and lie where the maps are small. Measured on the brain pack: a quarter smaller when compressed on its way
to the page, mean Dice .8195 instead of .820. (The one that ships is older: other heads are bound to it.)
"""

from __future__ import annotations

import numpy as np

MINIMUM_ELEMENTS = 1024
MOST = 127
LARGE, MOST_IN_LARGE = 100_000, 31
SCALE_SUFFIX = ".scale"
# Segmentation heads: of packs made here, and of MONAI's SwinUNETR.
SEGMENTATION = ("heads.segmentation.", "out.conv.")


def is_quantised(name: str, values: np.ndarray) -> bool:
    return (
        values.size >= MINIMUM_ELEMENTS
        and values.ndim >= 2
        and not name.startswith(SEGMENTATION)
    )


def quantise(values: np.ndarray, most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """float [out, ...] -> (int8 [out, ...] in -most..most, float32 scale [out]); value = q * scale."""
    flat = values.reshape(values.shape[0], -1).astype(np.float32)
    peak = np.abs(flat).max(axis=1)
    scale = np.where(peak > 0, peak / most, 1.0).astype(np.float32)
    q = np.clip(np.rint(flat / scale[:, None]), -most, most).astype(np.int8)
    return q.reshape(values.shape), scale


def dequantise(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (q.ndim - 1)
    return q.astype(np.float32) * scale.reshape(shape)


def quantise_all(tensors: dict[str, np.ndarray], most_in_large: int = MOST) -> dict[str, np.ndarray]:
    result = {}
    for name, values in tensors.items():
        if is_quantised(name, values):
            most = most_in_large if values.size >= LARGE else MOST
            result[name], result[name + SCALE_SUFFIX] = quantise(values, most)
        else:
            result[name] = values.astype(np.float32)
    return result


def dequantise_all(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    result = {}
    for name, values in stored.items():
        if name.endswith(SCALE_SUFFIX) and name.removesuffix(SCALE_SUFFIX) in stored:
            continue
        scale = stored.get(name + SCALE_SUFFIX)
        result[name] = values.astype(np.float32) if scale is None else dequantise(values, scale)
    return result
