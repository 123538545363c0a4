"""The compact network ("residual_pyramid"), written so that its parameter names are the pack's names.

Why a network of its own instead of MONAI's: the same few blocks have to be rebuilt in Rust from a
file, so every tensor name, the order of the operations and the absence of biases before a norm are
part of the pack contract. Nothing here may change without a new schema version.

Axes are [batch, channels, x, y, z] with x, y, z the voxel axes (Right, Anterior, Superior) of the
RAS-oriented volume. Input sides are multiples of 16 and at least 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

LEAKY_SLOPE = 0.01
NORM_EPSILON = 1e-5
SHALLOW = 3  # levels whose means are the sequence vector


@dataclass
class HeadConfig:
    """One task head; `outputs` are class or quantity names, `input` one of the pooled features."""

    kind: str
    name: str
    outputs: list[str] = field(default_factory=list)
    classes: int = 0
    input: str = "sequence"

    def as_pack(self) -> dict:
        if self.kind == "segmentation":
            return {"kind": self.kind, "name": self.name, "classes": self.classes}
        return {"kind": self.kind, "name": self.name, "input": self.input, "outputs": self.outputs}


@dataclass
class NetworkConfig:
    """Widths and depths of the pyramid and its heads."""

    in_channels: int = 1
    channels: tuple[int, ...] = (16, 32, 64, 128, 192)
    convs: tuple[int, ...] = (1, 2, 2, 2, 2)
    heads: tuple[HeadConfig, ...] = ()

    def as_pack(self) -> dict:
        return {
            "encoder": {
                "kind": "residual_pyramid",
                "in_channels": self.in_channels,
                "channels": list(self.channels),
                "convs": list(self.convs),
            },
            "heads": [head.as_pack() for head in self.heads],
        }

    @staticmethod
    def from_pack(architecture: dict) -> "NetworkConfig":
        encoder = architecture["encoder"]
        if encoder["kind"] != "residual_pyramid":
            raise ValueError(f"encoder kind {encoder['kind']!r} is not residual_pyramid")
        heads = tuple(
            HeadConfig(
                kind=head["kind"],
                name=head["name"],
                outputs=list(head.get("outputs", [])),
                classes=head.get("classes", 0),
                input=head.get("input", "sequence"),
            )
            for head in architecture["heads"]
        )
        return NetworkConfig(
            encoder["in_channels"], tuple(encoder["channels"]), tuple(encoder["convs"]), heads
        )


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAKY_SLOPE)


class InstanceNorm(nn.Module):
    """Per channel and sample: subtract the mean, divide by the deviation, scale and shift.

    For a batch of one this is batch norm with the batch's own statistics, which PyTorch can run on
    channels-last tensors in place; its instance norm copies them to another layout and back.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 1:
            return functional.batch_norm(
                x, None, None, self.weight, self.bias, training=True, eps=NORM_EPSILON
            )
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=NORM_EPSILON)


class ConvNorm(nn.Module):
    """Convolution without bias, then instance norm: `conv.weight`, `norm.weight`, `norm.bias`."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = InstanceNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """y = LeakyReLU(x + ConvNorm_n(... LeakyReLU(ConvNorm_1(x)))); no activation before the sum."""

    def __init__(self, channels: int, count: int):
        super().__init__()
        self.convs = nn.ModuleList(ConvNorm(channels, channels) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for index, conv in enumerate(self.convs):
            y = conv(y)
            if index + 1 < len(self.convs):
                y = leaky(y)
        return leaky(x + y)


class EncoderLevel(nn.Module):
    """An optional stride-2 ConvNorm (`down`), then a residual block (`block`)."""

    def __init__(self, inputs: int, outputs: int, count: int, first: bool):
        super().__init__()
        self.down = None if first else ConvNorm(inputs, outputs, stride=2)
        self.block = ResidualBlock(outputs, count)

    def forward(self, x: Tensor) -> Tensor:
        if self.down is not None:
            x = leaky(self.down(x))
        return self.block(x)


class Encoder(nn.Module):
    """Stem and five levels; returns the output of every level, finest first."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        channels = config.channels
        self.stem = ConvNorm(config.in_channels, channels[0])
        self.levels = nn.ModuleList(
            EncoderLevel(channels[max(i - 1, 0)], channels[i], config.convs[i], i == 0)
            for i in range(len(channels))
        )

    def forward(self, x: Tensor, depth: int | None = None) -> list[Tensor]:
        """`depth`: how many levels to run; all of them by default."""
        x = leaky(self.stem(x))
        maps = []
        for level in self.levels[:depth]:
            x = level(x)
            maps.append(x)
        return maps


def wide(x: Tensor) -> Tensor:
    """At least float32: sums over a scan need it."""
    return x if x.dtype == torch.float64 else x.float()


def pool(x: Tensor) -> Tensor:
    """[batch, channels, x, y, z] -> [batch, channels] means, at least float32."""
    return wide(x).mean(dim=(2, 3, 4))


def vector_size(channels: tuple[int, ...], source: str) -> int:
    """Length of a pooled feature ("structure", "sequence" or "fused")."""
    return sum(channels[:SHALLOW]) if source == "sequence" else channels[-1]


class Disentangle(nn.Module):
    """Splits the deepest map into anatomy ("structure") and acquisition ("sequence") maps.

    What heads read is pooled elsewhere, because the mean of an instance-normalised map says almost
    nothing. The structure vector is the mean of its branch before the norm. The sequence vector is the
    means of the first three levels: there contrast can be read, and from the third level on a network
    that was taught to segment any contrast has thrown it away (training/README.md has the numbers).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.structure = ConvNorm(channels, channels, kernel=1)
        self.sequence = ConvNorm(channels, channels, kernel=1)
        self.fuse = nn.Conv3d(2 * channels, channels, 1)

    def forward(self, maps: list[Tensor]) -> dict:
        """All levels -> the maps structure, sequence, fused; and the vectors structure, sequence, fused."""
        deepest = maps[-1]
        raw = self.structure.conv(deepest)
        structure = leaky(self.structure.norm(raw))
        sequence = leaky(self.sequence(deepest))
        fused = deepest + self.fuse(torch.cat([structure, sequence], dim=1))
        vectors = {
            "structure": pool(raw),
            "sequence": torch.cat([pool(level) for level in maps[:SHALLOW]], dim=1),
            "fused": pool(fused),
        }
        return {"structure": structure, "sequence": sequence, "fused": fused, "vectors": vectors}


class DecoderLevel(nn.Module):
    """1x1x1 convolution, trilinear x2, sum with the encoder's map, residual block."""

    def __init__(self, inputs: int, outputs: int, count: int):
        super().__init__()
        self.up = nn.Conv3d(inputs, outputs, 1)
        self.block = ResidualBlock(outputs, count)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = functional.interpolate(
            self.up(x), scale_factor=2.0, mode="trilinear", align_corners=False
        )
        return self.block(x + skip)


class Decoder(nn.Module):
    """Decoder levels, index 0 the finest; they run from the deepest to the finest."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        channels = config.channels
        self.levels = nn.ModuleList(
            DecoderLevel(channels[i + 1], channels[i], config.convs[i])
            for i in range(len(channels) - 1)
        )

    def forward(self, x: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """Outputs of every decoder level, finest first."""
        outputs = []
        for index in reversed(range(len(self.levels))):
            x = self.levels[index](x, maps[index])
            outputs.append(x)
        return outputs[::-1]


class PooledHead(nn.Module):
    """Pooled feature [batch, inputs] -> Linear, LayerNorm, GELU (exact), dropout, Linear [batch, outputs]."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.norm(self.hidden(x)))
        return self.output(self.dropout(x))


class Network(nn.Module):
    """Encoder, disentangling, decoder and heads; `forward` returns every named output."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.disentangle = Disentangle(config.channels[-1])
        heads: dict[str, nn.Module] = {}
        self.pooled = {}
        has_decoder = False
        for head in config.heads:
            if head.kind == "segmentation":
                heads[head.name] = nn.Conv3d(config.channels[0], head.classes, 1)
                has_decoder = True
            else:
                inputs = vector_size(config.channels, head.input)
                hidden = config.channels[-1] // 2
                heads[head.name] = PooledHead(inputs, hidden, len(head.outputs))
                self.pooled[head.name] = head.input
        self.heads = nn.ModuleDict(heads)
        self.decoder = Decoder(config) if has_decoder else None

    def features(self, x: Tensor) -> dict:
        maps = self.encoder(x)
        return {"maps": maps, **self.disentangle(maps)}

    def forward(self, x: Tensor) -> dict:
        """`x` [batch, in_channels, x, y, z] -> maps, structure, sequence, fused, vectors, decoded, heads."""
        result = self.features(x)
        outputs = {}
        if self.decoder is not None:
            result["decoded"] = self.decoder(result["fused"], result["maps"])
        for head in self.config.heads:
            module = self.heads[head.name]
            if head.kind == "segmentation":
                outputs[head.name] = module(result["decoded"][0])
            else:
                outputs[head.name] = module(result["vectors"][head.input])
        result["heads"] = outputs
        return result


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
