"""The parts that exist only during pretraining: modulated decoder, mapping, heads, projection.

The decoder has no skips, so all it knows of the anatomy comes through the structure feature, and all it
knows of the appearance through a style vector that modulates its convolutions (StyleGAN2, arXiv
1912.04958). With the sample's own sequence feature it reconstructs; with a random style added it renders
the same anatomy as another scan.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from training.model import Network, NetworkConfig, PooledHead, leaky, vector_size
from training.pretraining.data import BODY_PARTS

STYLE = 64
PROJECTION = 512
QUEUE = 128


class ModulatedConv(nn.Module):
    """3x3x3 convolution whose input channels are scaled per sample and whose result is demodulated."""

    normalised = True

    def __init__(self, inputs: int, outputs: int, style: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3, 3) / (inputs * 27) ** 0.5)
        self.scale = nn.Linear(style, inputs)
        nn.init.ones_(self.scale.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.scale(style)
        energy = self.weight.square().sum((2, 3, 4))
        demodulation = torch.rsqrt(scale.square() @ energy.T + 1e-8)
        x = x * scale[:, :, None, None, None]
        x = functional.conv3d(x, self.weight, padding=1)
        return x * demodulation[:, :, None, None, None]


class StyleDecoder(nn.Module):
    """[modulated conv, instance norm with style gain and shift, leaky ReLU, trilinear x2] to full size.

    Instance norm alone would take the style's scale away again; a gain and a shift from the style keep it.
    """

    def __init__(self, channels: tuple[int, ...], style: int):
        super().__init__()
        widths = list(reversed(channels))
        pairs = list(zip(widths, widths[1:] + [widths[-1]]))
        self.convs = nn.ModuleList(ModulatedConv(a, b, style) for a, b in pairs)
        self.affines = nn.ModuleList(nn.Linear(style, 2 * b) for _, b in pairs)
        self.image = nn.Conv3d(widths[-1], 1, 1)

    def forward(self, structure: Tensor, style: Tensor) -> Tensor:
        x = structure
        for index, (conv, to_affine) in enumerate(zip(self.convs, self.affines)):
            x = functional.instance_norm(conv(x, style))
            gain, shift = to_affine(style)[:, :, None, None, None].chunk(2, dim=1)
            x = leaky(x * (1 + gain) + shift)
            if index + 1 < len(self.convs):
                x = functional.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)
        return self.image(x)


class Mapping(nn.Module):
    """z -> w, four linear layers."""

    def __init__(self, size: int):
        super().__init__()
        layers = []
        for _ in range(4):
            layers += [nn.Linear(size, size), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))


class Standardise(nn.Module):
    """Vectors [batch, size] to mean 0 and deviation 1 of those seen lately.

    Pooled vectors of any two scans are nearly the same: what tells them apart is small against what all share,
    and heads that read them raw learn nothing, or put all on one point.
    """

    MOMENTUM = 0.05

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def see(self, vectors: Tensor) -> None:
        vectors = vectors.float()
        self.weight.lerp_(torch.ones_like(self.weight), self.MOMENTUM)
        self.mean.lerp_(vectors.mean(0), self.MOMENTUM)
        self.square.lerp_(vectors.square().mean(0), self.MOMENTUM)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation [size]; 0 and 1 before anything was seen."""
        if self.weight == 0:
            return self.mean, torch.ones_like(self.mean)
        mean = self.mean / self.weight
        return mean, (self.square / self.weight - mean.square()).clamp(min=1e-8).sqrt()

    def forward(self, vectors: Tensor) -> Tensor:
        mean, deviation = self.moments()
        return (vectors.float() - mean) / deviation


class Pretraining(nn.Module):
    """The product's encoder and disentangling with everything that teaches them."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        deepest = config.channels[-1]
        seen, acquired = (vector_size(config.channels, name) for name in ("structure", "sequence"))
        self.network = Network(config)
        self.mapping = Mapping(STYLE)
        self.sequence_style = nn.Linear(acquired, STYLE)
        self.decoder = StyleDecoder(config.channels, STYLE)
        self.standard = nn.ModuleDict({"structure": Standardise(seen), "sequence": Standardise(acquired)})
        self.parameters_head = PooledHead(acquired, deepest // 2, 3)
        self.body_head = PooledHead(seen, deepest // 2, len(BODY_PARTS))
        self.project = nn.Sequential(
            nn.Linear(seen, deepest), nn.LeakyReLU(0.1), nn.Linear(deepest, PROJECTION)
        )
        self.judge = nn.Linear(deepest, 1)
        # Projections of past anatomies: a batch of a CPU holds too few others to be told apart from.
        self.register_buffer("queue", torch.zeros(QUEUE, PROJECTION))

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """structure [batch, channels, x, y, z] and the vectors structure, sequence and fused.

        One volume at a time on a CPU, where the norm of a single volume is much the faster one.
        """
        groups = images.split(1) if images.device.type == "cpu" else [images]
        rows = []
        for group in groups:
            features = self.network.features(group)
            rows.append({"map": features["structure"], **features["vectors"]})
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def render(self, structure: Tensor, sequence: Tensor, z: Tensor | None) -> Tensor:
        """`structure` map and `sequence` vector; `z` None: the own appearance, else a style joins it."""
        style = self.sequence_style(sequence)
        if z is not None:
            style = style + self.mapping(z)
        return self.decoder(structure, style)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder as discriminator: logits of realness [batch]; and the normalised projections."""
        encoded = self.encode(images)
        return self.judge(encoded["fused"])[:, 0], self.projected(encoded["structure"])

    def projected(self, structure: Tensor) -> Tensor:
        standard = self.standard["structure"](structure)
        return functional.normalize(self.project(standard).float(), dim=1)

    def told(self, encoded: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Normalised sequence parameters [batch, 3] and logits of the body part, each from its feature."""
        sequence, structure = (self.standard[name](encoded[name]) for name in ("sequence", "structure"))
        return self.parameters_head(sequence).float(), self.body_head(structure).float()

    def frozen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward` with weights that take no gradient: the renderer must not teach its judge."""
        weights = {name: value.detach() for name, value in self.named_parameters()}
        return torch.func.functional_call(self, weights, (images,))

    @torch.no_grad()
    def remember(self, projections: Tensor) -> None:
        self.queue.copy_(torch.cat([projections.detach(), self.queue])[:QUEUE])


def contrastive(rows: Tensor, anatomy: Tensor, queue: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (arXiv 2004.11362) of unit rows [n, 512]; equal `anatomy` [n] attract.

    `queue` [m, 512] holds other anatomies; rows of zeros count as nothing.
    """
    with torch.autocast(rows.device.type, enabled=False):
        scores = rows @ torch.cat([rows, queue]).T / temperature
    empty = torch.cat([torch.eye(len(rows), dtype=torch.bool, device=rows.device),
                       (queue.square().sum(1) == 0).expand(len(rows), -1)], dim=1)  # fmt: skip
    logs = scores.masked_fill(empty, -torch.inf).log_softmax(1)[:, : len(rows)]
    same = (anatomy[:, None] == anatomy[None]) & ~empty[:, : len(rows)]
    return -(logs.masked_fill(~same, 0).sum(1) / same.sum(1).clamp(min=1)).mean()
