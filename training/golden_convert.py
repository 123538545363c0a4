"""Small checkpoints as others save them, and what `prism convert` must make of them.

    python -m training.golden_convert

Writes tests/golden/convert: seeded random MONAI weights (SwinTransformer, use_v2=True) in each form that
is read, the forms that must be refused, and `expected.safetensors`: every tensor after int8 rounding by
`training.quantise` (numpy), under MONAI's own names. Its metadata holds the names and shapes that MONAI
gives the published encoders. cat.pt, trans.pt, backbone.pt and pretrained.pt have the names of PRISM's own
classes (github.com/zqiuak/PRISM, main/model).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from monai.networks.blocks import TransformerBlock, UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import SwinTransformer
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import nn

from training import quantise
from training.paths import REPOSITORY

SEED = 20261125
FOLDER = REPOSITORY / "tests" / "golden" / "convert"
TINY = {"embed_dim": 2, "depths": (1, 2, 1, 1), "num_heads": (1, 2, 2, 4)}
TINY_WINDOW = 2  # the index of a window of 7 would alone be 0.9 MB
CLASSES = 3
PUBLISHED = {
    "swin-b": {"embed_dim": 48, "depths": (2, 2, 2, 2), "num_heads": (3, 6, 12, 24)},
    "swin-l": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "swin-h": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
}


def encoder(geometry: dict, window: int) -> SwinTransformer:
    return SwinTransformer(
        in_chans=1, window_size=(window,) * 3, patch_size=(2, 2, 2), mlp_ratio=4.0, qkv_bias=True,
        spatial_dims=3, use_v2=True, **geometry,
    )  # fmt: skip


class SmallSwinUNETR(nn.Module):
    """MONAI's SwinUNETR, block for block; its own constructor wants multiples of 12 channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.swinViT = encoder(TINY, TINY_WINDOW)
        basic = {"spatial_dims": 3, "kernel_size": 3, "stride": 1, "norm_name": "instance", "res_block": True}
        up = {"spatial_dims": 3, "kernel_size": 3, "upsample_kernel_size": 2, "norm_name": "instance", "res_block": True}  # fmt: skip
        self.encoder1 = UnetrBasicBlock(in_channels=1, out_channels=dim, **basic)
        for name, channels in (("encoder2", dim), ("encoder3", 2 * dim), ("encoder4", 4 * dim), ("encoder10", 16 * dim)):
            setattr(self, name, UnetrBasicBlock(in_channels=channels, out_channels=channels, **basic))
        for index, (inputs, outputs) in {5: (16, 8), 4: (8, 4), 3: (4, 2), 2: (2, 1), 1: (1, 1)}.items():
            block = UnetrUpBlock(in_channels=inputs * dim, out_channels=outputs * dim, **up)
            setattr(self, f"decoder{index}", block)
        self.out = UnetOutBlock(spatial_dims=3, in_channels=dim, out_channels=CLASSES)


class Call:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch prism-was-here",)


def shapes(geometry: dict) -> dict[str, list[int]]:
    # Without values: the largest has 1.6 GB of them. MONAI reads drop path rates off a linspace.
    rates = functools.partial(torch.linspace, device="cpu")
    with torch.device("meta"), mock.patch("torch.linspace", rates):
        parameters = list(encoder(geometry, 7).named_parameters())
    return {f"swinViT.{name}": list(value.shape) for name, value in parameters}


def rounded(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What the pack stores: NAME in int8 with NAME.scale, or NAME in float32."""
    arrays = {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}
    return quantise.quantise_all(arrays)


class PublishedHead(nn.Module):
    """Tensors of a published classifier under its names: `cls_head`, and `latent_agg` that fuses sequences."""

    def __init__(self, channels: int, fusion: str) -> None:
        super().__init__()
        hidden = channels // 2
        layers = (nn.Linear(channels, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(), nn.Linear(hidden, 3))
        self.cls_head = nn.ModuleDict({"grade": nn.Sequential(*layers)}) if fusion == "cat" else nn.Sequential(*layers)
        if fusion == "cat":
            self.latent_agg = nn.Linear(3 * channels, channels)
        else:
            self.latent_agg = TransformerBlock(channels, channels, 4, with_cross_attention=True)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))


class ModulatedConvolution(nn.Module):
    """Tensors of a modulated convolution: the kernel, and its scales as a function of the style."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3, 3))
        self.projector = nn.Linear(style, inputs)


class Pretrained(nn.Module):
    """Tensors of PRISM's `PT_MRI_FM`: most of them twice, under the groups `D` and `G` of its two optimisers."""

    def __init__(self, swin: SwinTransformer) -> None:
        super().__init__()
        channels = 16 * TINY["embed_dim"]
        self.swinViT = swin
        self.meta_head, self.part_head = nn.Linear(channels, 3), nn.Linear(channels, 4)

        def branch(inputs: int) -> nn.Module:
            return nn.Sequential(nn.Conv3d(inputs, channels, 1), nn.InstanceNorm3d(channels), nn.LeakyReLU())

        self.structure_disentanglement, self.sequence_disentanglement = branch(channels), branch(channels)
        self.latent_agg = branch(2 * channels)
        widths = [channels, channels // 2, channels // 4, channels // 8, channels // 16, channels // 16]
        levels = [nn.Sequential(ModulatedConvolution(a, b, channels)) for a, b in zip(widths, widths[1:])]
        for index, level in enumerate(levels):
            setattr(self, f"decoder{index + 1}", level)
        self.up_decoder = nn.ModuleList(levels)
        self.recon_head = nn.Conv3d(TINY["embed_dim"], 1, 1)
        self.w_mapping, self.mix_w = nn.Module(), nn.Module()
        mapping = [nn.Sequential(nn.Linear(channels, channels), nn.ReLU()) for _ in range(4)]
        self.w_mapping.noise_mapping = nn.Sequential(*mapping)
        self.mix_w.mix_conv = nn.Conv3d(2 * channels, channels, 1)
        self.D = nn.ModuleDict({
            "swinViT": self.swinViT, "meta_head": self.meta_head, "part_head": self.part_head,
            "str_disen": self.structure_disentanglement, "seq_disen": self.sequence_disentanglement,
            "latent_agg": self.latent_agg,
        })  # fmt: skip
        self.G = nn.ModuleDict({
            "decoder": self.up_decoder, "recon_head": self.recon_head, "wmap": self.w_mapping, "mix_w": self.mix_w,
        })  # fmt: skip


def write_pretrained(swin: SwinTransformer) -> None:
    """pretrained.pt; pretrained.safetensors, what is stored of branches and renderer."""
    torch.manual_seed(SEED)
    network = Pretrained(swin)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("swinViT."):
                parameter.copy_(0.1 * torch.randn(parameter.shape))
    # In halves, and shared where the network shares, so that the file is small.
    state = network.half().state_dict()
    torch.save({"epoch": 3, "state_dict": state}, FOLDER / "pretrained.pt")
    # The encoder is that of expected.safetensors, and the one-layer heads have no form in a pack.
    others = ("D.", "G.", "up_decoder.", "swinViT.", "part_head.", "meta_head.")
    own = {name: value for name, value in state.items() if not name.startswith(others)}
    arrays = {name: np.ascontiguousarray(v) for name, v in rounded(own).items()}
    save_arrays(arrays, FOLDER / "pretrained.safetensors")


def write_settings() -> None:
    """settings2.pt and settings4.pt: weights beside settings of Python's own types, in two protocols."""
    settings = {
        "stages": {1, 2}, "frozen": frozenset({"swinViT"}), "epochs": range(3), "crop": slice(0, 96), "shift": 1 + 2j,
        "salt": bytearray(b"prism"), "none": b"", "kinds": [int, str, float, set, frozenset, list],
    }  # fmt: skip
    for protocol in (2, 4):
        checkpoint = {"state_dict": {"weight": torch.zeros(2)}, "settings": settings}
        torch.save(checkpoint, FOLDER / f"settings{protocol}.pt", pickle_protocol=protocol)


def write_heads(hollow: dict[str, torch.Tensor]) -> None:
    """cat.pt and trans.pt, heads behind an encoder of zeros as `MRI_CLS` keeps it; heads.safetensors, what is stored of them."""
    expected = {}
    for fusion in ("cat", "trans"):
        torch.manual_seed(SEED)
        head = PublishedHead(16 * TINY["embed_dim"], fusion)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape))
        state = {name: value for name, value in head.state_dict().items() if value.is_floating_point()}
        behind = {f"encoders.0.{name}": value for name, value in hollow.items()}
        torch.save(behind | state, FOLDER / f"{fusion}.pt")
        own = {}
        for name, value in state.items():
            if name.startswith("cls_head."):
                index, kind = name.split(".")[-2:]
                own[f"{ {'0': 'hidden', '1': 'norm', '4': 'output'}[index] }.{kind}"] = value
            else:
                own[f"fusion.{name.removeprefix('latent_agg.')}"] = value
        prefix = f"{fusion}.pt."
        expected |= {prefix + name: np.ascontiguousarray(v) for name, v in rounded(own).items()}
    save_arrays(expected, FOLDER / "heads.safetensors")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    network = SmallSwinUNETR(TINY["embed_dim"])
    with torch.no_grad():
        for parameter in network.parameters():
            # Halves have 11 bits: what is stored as half is then the same in every file.
            spread = 0.5 if parameter.ndim == 1 else 0.1
            parameter.copy_((spread * torch.randn(parameter.shape)).half().float())
    whole = network.state_dict()
    flat = {name: value for name, value in whole.items() if name.startswith("swinViT.")}
    half = {name: v.half() if v.is_floating_point() else v for name, v in whole.items()}
    half_flat = {name: half[name] for name in flat}
    alone = {name.removeprefix("swinViT."): value for name, value in half_flat.items()}
    # Views of one zero: names and shapes are all that counts in what is refused.
    hollow = {
        name: torch.zeros(1).expand(value.shape) if value.is_floating_point() else value
        for name, value in flat.items()
    }

    torch.save(flat, FOLDER / "flat.pt")
    checkpoint = {
        "epoch": 7,
        "best": np.float64(0.5),
        "state_dict": {f"module.{name}": value for name, value in half.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]},
    }
    torch.save(checkpoint, FOLDER / "wrapped.pt")
    # As `MRI_SEG`: the network under `backbone`, its encoder a second time.
    backbone = {f"backbone.{name}": value for name, value in half.items()}
    torch.save({"epoch": 7, "state_dict": backbone | half_flat}, FOLDER / "backbone.pt")
    torch.save(half_flat, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    save_tensors({name: value.contiguous() for name, value in alone.items()}, FOLDER / "alone.safetensors")
    missing = dict(hollow)
    del missing["swinViT.layers2.0.blocks.1.attn.qkv.bias"]
    torch.save(missing, FOLDER / "missing.pt")
    torch.save(hollow | {"swinViT.head.weight": torch.zeros(4, 2)}, FOLDER / "extra.pt")
    index = "swinViT.layers1.0.blocks.0.attn.relative_position_index"
    torch.save(hollow | {index: hollow[index].flip(0)}, FOLDER / "index.pt")
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "hook": Call()}, FOLDER / "calls.pt")
    with open(FOLDER / "calls.pkl", "wb") as file:
        pickle.dump({"weight": Call()}, file, protocol=2)
    content = (FOLDER / "flat.pt").read_bytes()
    (FOLDER / "truncated.pt").write_bytes(content[: len(content) // 8])
    content = (FOLDER / "alone.safetensors").read_bytes()
    (FOLDER / "truncated.safetensors").write_bytes(content[: len(content) // 8])

    expected = {name: np.ascontiguousarray(v) for name, v in rounded(whole).items()}
    restored = quantise.dequantise_all(expected)
    relative = {
        name: float(np.linalg.norm(restored[name].astype(float) - whole[name].numpy()) / np.linalg.norm(whole[name].double().numpy()))
        for name in restored
        if name + quantise.SCALE_SUFFIX in expected
    }  # fmt: skip
    about = {
        "shapes": json.dumps({name: shapes(g) for name, g in PUBLISHED.items()}),
        "relative": json.dumps(relative),
        "sha256": hashlib.sha256((FOLDER / "flat.pt").read_bytes()).hexdigest(),
    }
    save_arrays(expected, FOLDER / "expected.safetensors", about)
    write_settings()
    write_heads(hollow)
    write_pretrained(network.swinViT)
    for path in FOLDER.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
