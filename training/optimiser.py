"""Optimiser: orthogonalised momentum for the normalised convolutions, AdamW for everything else.

A convolution followed by instance norm does not change its output when its weight is scaled, so only
the direction of the weight matters. Such weights are kept at their initial Frobenius norm and every
step turns them by a fixed relative amount along the orthogonalised momentum (Muon: Jordan et al. 2024,
Newton-Schulz iteration with their quintic coefficients). It reaches a given loss in fewer steps than
AdamW, and steps are what a CPU is short of. Fixed norms also suit int8 with one scale per channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.model import ConvNorm

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrix: Tensor) -> Tensor:
    """Approximates U V^T of `matrix` [rows, columns] = U S V^T.

    Every iterate is a polynomial of X X^T times X, so they are computed on that small square matrix and meet the
    long side twice only.
    """
    a, b, c = COEFFICIENTS
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    one = torch.eye(gram.shape[0], device=x.device)
    total = one
    for _ in range(ITERATIONS):
        step = a * one + b * gram + c * gram @ gram
        total = step @ total
        gram = step @ gram @ step
    x = total @ x
    return x.T if tall else x


class RelativeMuon(torch.optim.Optimizer):
    """`lr` is the relative size of a step: |change| / |weight|, Frobenius norms."""

    def __init__(self, parameters: list[Tensor], lr: float = 0.03, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                    state["norm"] = weight.norm()
                buffer = state["momentum"]
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(buffer, group["momentum"])
                flat = update.reshape(update.shape[0], -1)
                turned = orthogonalise(flat)
                scale = group["lr"] * state["norm"] / (turned.norm() + 1e-7)
                weight.sub_(turned.reshape(update.shape) * scale)
                weight.mul_(state["norm"] / weight.norm())


def build(network: nn.Module, extra: nn.Module, settings: dict) -> list[torch.optim.Optimizer]:
    """Splits the parameters of `network` and `extra` (what exists in training only) over the optimisers.

    A module of `extra` says by `normalised = True` that the scale of its `weight` does not count.
    """
    normalised = [m.conv.weight for m in network.modules() if isinstance(m, ConvNorm)]
    normalised += [m.weight for m in extra.modules() if getattr(m, "normalised", False)]
    known = {id(weight) for weight in normalised}
    both = [*network.parameters(), *extra.parameters()]
    others = [p for p in both if id(p) not in known]
    decay = [p for p in others if p.ndim >= 2]
    plain = [p for p in others if p.ndim < 2]
    adam_groups = [
        {"params": decay, "weight_decay": settings["weight_decay"]},
        {"params": plain, "weight_decay": 0.0},
    ]
    if settings["name"] == "adamw":
        adam_groups[0]["params"] = normalised + decay
        return [torch.optim.AdamW(adam_groups, lr=settings["lr"], betas=(0.9, 0.98))]
    return [
        RelativeMuon(normalised, settings["relative_lr"], settings["momentum"]),
        torch.optim.AdamW(adam_groups, lr=settings["lr"], betas=(0.9, 0.98)),
    ]
