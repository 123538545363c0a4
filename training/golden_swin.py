"""Reference activations of the published network, which core/tests/swin.rs and the self-test of devices
(core/src/pipeline/self_test) must reproduce.

    python -m training.golden_swin

The network is MONAI's (SwinTransformer, SwinUNETR, TransformerBlock; monai 1.6.1, see requirements.txt).
PRISM was trained with MONAI 1.4.0, whose patch merging takes two voxels of a cell twice (changed in 1.5.0,
pull request 8285); `RepeatedMerging` restates that order, and under monai 1.4.0 itself this script writes the
same numbers to float32's last digits. What PRISM adds (branches, fusion, renderer) is written after its public
repository, github.com/zqiuak/PRISM.

No weights are stored: every value of every tensor is a hash of the tensor's name and the value's index, which
the test computes as well, so that files stay small. Activations are computed in float64; large maps keep every
third voxel of each axis (`NAME.every3`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from monai.networks.blocks import TransformerBlock
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinUNETR
from safetensors.numpy import save_file
from torch import Tensor, nn

from training.model import SHALLOW
from training.paths import REPOSITORY
from training.pretraining.networks import Mapping, StyleDecoder

DIM, DEPTHS, HEADS, WINDOW, CLASSES = 12, (2, 2, 2, 2), (3, 6, 12, 24), 7, 3
LATENT = 16 * DIM
SIDES = (64, 96, 32)
STYLE = 16
EVERY = 3
SELF_TEST_DEPTHS = (2, 1, 1, 1)
# A second geometry: odd depths, other numbers of heads, a smaller window that pads other sides.
OTHER_DEPTHS, OTHER_HEADS, OTHER_WINDOW, OTHER_SIDES = (1, 2, 3, 1), (2, 4, 4, 6), 4, (64, 32, 96)


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in [-1, 1): splitmix64 of FNV-1a(name) + index, its upper 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Unit gain for matrices and kernels, norms around 1, biases around 0."""
    u = noise(name, shape)
    if len(shape) > 1:
        return u * np.float32((3 / np.prod(shape[1:])) ** 0.5)
    return 1 + np.float32(0.5) * u if name.endswith(".weight") else np.float32(0.3) * u


def fill(module: nn.Module, prefix: str = "") -> nn.Module:
    """Gives a module the weights its names stand for."""
    state = module.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = torch.from_numpy(weight(prefix + name, tuple(value.shape)))
    module.load_state_dict(state)
    return module.double().eval()


class RepeatedMerging(PatchMergingV2):
    """`PatchMerging` as it was up to MONAI 1.4.0."""

    order = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[:, i::2, j::2, k::2, :] for i, j, k in self.order], -1)
        return self.reduction(self.norm(x))


class CornersMerging(RepeatedMerging):
    """`PatchMerging` since MONAI 1.5.0."""

    order = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))


def swin_unetr(merging, depths=DEPTHS, **other) -> SwinUNETR:
    options = dict(
        in_channels=1, out_channels=CLASSES, depths=depths, num_heads=HEADS, feature_size=DIM,
        use_v2=True, downsample=merging,
    ) | other  # fmt: skip
    try:
        return fill(SwinUNETR(**options))
    except TypeError:  # before MONAI 1.5 the size had to be named
        return fill(SwinUNETR(img_size=SIDES, **options))


def other_geometry() -> dict[str, Tensor]:
    x = torch.from_numpy(noise("other.input", (1, 1, *OTHER_SIDES))).double()
    network = swin_unetr(RepeatedMerging, OTHER_DEPTHS, num_heads=OTHER_HEADS, window_size=OTHER_WINDOW)
    result = {f"other.maps.{level}": level_map for level, level_map in enumerate(network.swinViT(x))}
    result["other.logits"] = network(x)
    return result


def branch(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, LATENT, 1), nn.InstanceNorm3d(LATENT), nn.LeakyReLU())


class PrismParts(nn.Module):
    """Branches, mapping and renderer under the names of the published checkpoint."""

    def __init__(self):
        super().__init__()
        self.structure_disentanglement = branch(LATENT)
        self.sequence_disentanglement = branch(LATENT)
        self.latent_agg = branch(2 * LATENT)
        self.w_mapping = nn.Module()
        layers = [nn.Sequential(nn.Linear(LATENT, LATENT), nn.ReLU()) for _ in range(4)]
        self.w_mapping.noise_mapping = nn.Sequential(*layers)
        self.mix_w = nn.Module()
        self.mix_w.mix_conv = nn.Conv3d(2 * LATENT, LATENT, 1)
        widths = [LATENT >> level for level in range(5)] + [DIM]
        for level, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            step = nn.ModuleList([nn.Module()])
            step[0].weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3, 3))
            step[0].projector = nn.Linear(LATENT, inputs)
            self.add_module(f"decoder{level + 1}", step)
        self.recon_head = nn.Conv3d(DIM, 1, 1)

    def join(self, deepest: Tensor, structure: Tensor, sequence: Tensor) -> Tensor:
        return deepest + self.latent_agg(torch.cat([structure, sequence], 1))

    def render(self, deepest: Tensor, structure: Tensor, sequence: Tensor, z: Tensor | None) -> Tensor:
        """`z` None reconstructs; else the mapped noise joins the sequence map and modulates."""
        w = None
        if z is not None:
            w = self.w_mapping.noise_mapping(z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt())
            spread = w[:, :, None, None, None].expand_as(sequence)
            sequence = self.mix_w.mix_conv(torch.cat([sequence, spread], 1))
        x = self.join(deepest, structure, sequence)
        for level in range(1, 6):
            conv = getattr(self, f"decoder{level}")[0]
            kernel = conv.weight
            if w is not None:
                # As `ModConv3d.forward` in main/model/model_pt.py: [samples, outputs, inputs, kD, kH, kW], and
                # the sum leaves kW out, so that each plane of a kernel has a norm of its own.
                s = conv.projector(w)
                modulated = conv.weight[None] * s[:, None, :, None, None, None]
                sigma = torch.rsqrt((modulated**2).sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
                kernel = (modulated * sigma)[0]  # of the one sample
            x = functional.leaky_relu(functional.instance_norm(functional.conv3d(x, kernel, padding=1)))
            x = functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        return self.recon_head(x)


class FusedHead(nn.Module):
    """The published head on several sequences' pooled features [batch, sequences, channels]."""

    def __init__(self, fusion: str, sequences: int):
        super().__init__()
        self.fusion = nn.Module()
        self.kind = fusion
        if fusion == "concatenation":
            self.fusion = nn.Linear(sequences * LATENT, LATENT)
        if fusion == "transformer":
            self.fusion = TransformerBlock(LATENT, LATENT, 4, with_cross_attention=True)
            self.fusion.cls_token = nn.Parameter(torch.zeros(1, 1, LATENT))
        self.hidden, self.norm = nn.Linear(LATENT, LATENT // 2), nn.LayerNorm(LATENT // 2)
        self.output = nn.Linear(LATENT // 2, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        if self.kind == "max":
            x = features.max(1).values
        elif self.kind == "concatenation":
            x = self.fusion(features.flatten(1))
        else:
            token = self.fusion.cls_token.expand(len(features), -1, -1)
            x = self.fusion(torch.cat([token, features], 1))[:, 0]
        return self.output(functional.gelu(self.norm(self.hidden(x))))


def published() -> dict[str, Tensor]:
    x = torch.from_numpy(noise("input", (1, 1, *SIDES))).double()
    # A border of zeros, as around a head.
    x[:, :, :5] = x[:, :, :, 80:] = x[:, :, :, :, :4] = 0
    network, parts = swin_unetr(RepeatedMerging), fill(PrismParts())
    maps = network.swinViT(x)
    result = {f"maps.{level}": level_map for level, level_map in enumerate(maps)}
    result["logits"] = network(x)
    for name, merging in (("corners", CornersMerging), ("ordered", "mergingv2")):
        result[f"{name}.maps.4"] = swin_unetr(merging).swinViT(x)[4]
    structure = parts.structure_disentanglement(maps[4])
    sequence = parts.sequence_disentanglement(maps[4])
    result |= {"structure": structure, "sequence": sequence}
    result["fused"] = parts.join(maps[4], structure, sequence)
    z = torch.from_numpy(noise("style", (1, LATENT))).double()
    result["reconstructed"] = parts.render(maps[4], structure, sequence, None)
    result["rendered"] = parts.render(maps[4], structure, sequence, z)
    features = torch.from_numpy(noise("features", (1, 3, LATENT))).double()
    for kind in ("max", "concatenation", "transformer"):
        head = fill(FusedHead(kind, 3), f"heads.{kind}.")
        result[f"heads.{kind}"] = head(features)
    return result


def styled() -> dict[str, Tensor]:
    """The renderer of training/pretraining on a small pyramid."""
    channels = (4, 8, 8, 12, 16)
    shape = (1, channels[-1], 2, 3, 2)
    structure = torch.from_numpy(noise("structure", shape)).double()
    # Three first levels of one voxel each, whose means are themselves.
    sequence = [
        torch.from_numpy(noise(f"level{i}", (1, width))).double()
        for i, width in enumerate(channels[:SHALLOW])
    ]
    z = torch.from_numpy(noise("style", (1, STYLE))).double()
    decoder = fill(StyleDecoder(channels, STYLE), "renderer.decoder.")
    mapping = fill(Mapping(STYLE), "renderer.mapping.")
    own = fill(nn.Linear(sum(channels[:SHALLOW]), STYLE), "renderer.sequence_style.")
    style = own(torch.cat(sequence, dim=1))
    return {
        "styled.reconstructed": decoder(structure, style),
        "styled.rendered": decoder(structure, style + mapping(z)),
    }


def self_test() -> dict[str, Tensor]:
    """The deepest map of a shallow encoder, which a device must reproduce before it runs a Swin pack."""
    x = torch.from_numpy(noise("input", (1, 1, 32, 32, 32))).double()
    return {"maps.4": swin_unetr(RepeatedMerging, SELF_TEST_DEPTHS).swinViT(x)[4]}


def write(result: dict[str, Tensor], path: Path, about: dict) -> None:
    tensors = {}
    for name, value in result.items():
        if value.ndim == 5 and value.numel() > 20000:
            name, value = f"{name}.every{EVERY}", value[:, :, ::EVERY, ::EVERY, ::EVERY]
        tensors[name] = np.ascontiguousarray(value.float().numpy())
    save_file(tensors, path, {"about": json.dumps(about)})
    path.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "golden" / "swin")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    with torch.no_grad():
        result = published() | styled()
        other, tested = other_geometry(), self_test()
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = {"sides": SIDES, "dim": DIM, "depths": DEPTHS, "heads": HEADS, "window": WINDOW}
    write(result, arguments.out / "activations.safetensors", about)
    about = {"sides": OTHER_SIDES, "dim": DIM, "depths": OTHER_DEPTHS, "heads": OTHER_HEADS, "window": OTHER_WINDOW}
    write(other, arguments.out / "other.safetensors", about)
    path = arguments.out / "self_test.safetensors"
    save_file({name: value.float().numpy() for name, value in tested.items()}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
