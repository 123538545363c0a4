"""bfloat16 where the processor computes in it.

Without AVX-512's instructions for it torch emulates bfloat16: one step of the cardiac network took 6 s on such a
processor, 1.2 s in float32.
"""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_bfloat16(device: str) -> bool:
    """Whether `device` ("cpu" or "cuda") multiplies bfloat16 itself."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: str, wanted: bool = True) -> torch.autocast:
    """Mixed precision on `device`, float32 where bfloat16 would be emulated."""
    return torch.autocast(device, torch.bfloat16, enabled=wanted and has_bfloat16(device))
