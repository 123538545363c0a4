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

from training.model import Network, NetworkConfig, PooledHead, leaky
from training.pretraining.data import BODY_PARTS

STYLE = 64
PROJECTION = 512


class ModulatedConv(nn.Module):
    """3x3x3 convolution whose input channels are scaled per sample and whose result is demodulated."""

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


class Pretraining(nn.Module):
    """The product's encoder and disentangling with everything that teaches them."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        deepest = config.channels[-1]
        self.network = Network(config)
        self.mapping = Mapping(STYLE)
        self.sequence_style = nn.Linear(deepest, STYLE)
        self.decoder = StyleDecoder(config.channels, STYLE)
        self.parameters_head = PooledHead(deepest, 3)
        self.body_head = PooledHead(deepest, len(BODY_PARTS))
        self.project = nn.Sequential(
            nn.Linear(deepest, deepest), nn.LeakyReLU(0.1), nn.Linear(deepest, PROJECTION)
        )
        self.judge = nn.Linear(deepest, 1)

    @staticmethod
    def pool(x: Tensor) -> Tensor:
        return x.float().mean((2, 3, 4))

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        return self.network.features(images)

    def render(self, structure: Tensor, sequence: Tensor, z: Tensor | None) -> Tensor:
        """`z` None: the sample's own appearance; else the mapped style joins it."""
        style = self.sequence_style(self.pool(sequence))
        if z is not None:
            style = style + self.mapping(z)
        return self.decoder(structure, style)

    def forward(self, images: Tensor) -> Tensor:
        """The encoder reused as discriminator: one logit of realness a volume."""
        return self.judge(self.pool(self.encode(images)["fused"]))[:, 0]

    def frozen_realness(self, images: Tensor) -> Tensor:
        """The same with weights that take no gradient: the renderer must not teach its judge."""
        weights = {name: value.detach() for name, value in self.named_parameters()}
        return torch.func.functional_call(self, weights, (images,))


def contrastive(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE both ways between [batch, 512] projections of the same anatomies."""
    first, second = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    logits = first @ second.T / temperature
    own = torch.arange(len(first), device=first.device)
    return 0.5 * (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own))
