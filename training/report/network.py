"""The report decoder: words attend to the facts of a section and to the encoder's maps in each structure.

Memory: one token for the section, one a fact (the sum of the embeddings of its fields and of its place; a name is
embedded as the word it becomes), and one a structure of the brain pack that was found, where a scan was encoded: the
encoder's two deepest maps averaged inside the structure's predicted labels (training.report.scans.structure_tokens),
standardised over the training scans by structure, projected, with the structure's own embedding added. Decoder: token
and place embeddings, then layers of causal self-attention, attention to the memory and a GELU block, each after a layer
norm; the word's embedding is its output weight. The same network is written in Rust in core/src/report/wording
(network.rs, maps.rs); names agree.

`save` and `load` keep a decoder as safetensors; training/checkpoints/report.safetensors is the one that ships
(training.report.export puts it there).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from training.labels import BRAIN
from training.paths import REPOSITORY, cache_folder
from training.report.grammar import SECTIONS, SIDES, SIGNALS, SIZES, Fact, Grammar

CHECKPOINT = REPOSITORY / "training/checkpoints/report.safetensors"
PACK = REPOSITORY / "public/packs/report.safetensors"
WIDTH, LAYERS, HEADS, HIDDEN = 128, 2, 4, 256
LONGEST, FACTS = 224, 24
# Structures of the brain pack in the order of its labels, and channels of its two deepest maps.
STRUCTURES = tuple(name for _, name, _ in BRAIN)
CHANNELS = 128 + 192
# Standardised values are cut here, as in core/src/report/wording/maps.rs.
MOST = 5.0
# In training: deviation of what is added to standardised values, and share of the structures that are left out. There
# are few scans, and they are not to be learnt by heart.
NOISE, LEFT_OUT = 0.3, 0.1
FIELDS = ("kind", "side", "size", "signal")


def places(count: int) -> torch.Tensor:
    """Sines and cosines of a place (Vaswani et al. 2017, 3.5), scaled to the embeddings' size."""
    rate = 10000 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    angle = torch.arange(count)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1) * WIDTH**-0.5


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x, memory, mask=None, causal=False):
        def split(t):
            return t.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.output(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.words, self.facts = Attention(), Attention()
        self.widen = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.narrow = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, memory, mask):
        y = self.norms[0](x)
        x = x + self.words(y, y, causal=True)
        x = x + self.facts(self.norms[1](x), memory, mask)
        return x + self.narrow(functional.gelu(self.widen(self.norms[2](x))))


class Maps(nn.Module):
    """One memory token a structure; `mean` and `deviation` are those of the training scans."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(CHANNELS, WIDTH, bias=False)
        self.structure = nn.Embedding(len(STRUCTURES), WIDTH)
        self.register_buffer("mean", torch.zeros(len(STRUCTURES), CHANNELS))
        self.register_buffer("deviation", torch.ones(len(STRUCTURES), CHANNELS))

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[b, structures, channels], NaN where a structure was not found -> tokens, and which are there."""
        standard = ((maps.nan_to_num() - self.mean) / self.deviation).clamp(-MOST, MOST)
        seen = ~maps.isnan().any(-1)
        if self.training:
            standard = standard + NOISE * torch.randn_like(standard)
            seen = seen & (torch.rand(seen.shape) >= LEFT_OUT)
        return self.project(standard) + self.structure.weight, seen


class Decoder(nn.Module):
    def __init__(self, vocabulary: int, kinds: int) -> None:
        super().__init__()
        sizes = (kinds, len(SIDES), len(SIZES), len(SIGNALS))
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.fields = nn.ModuleDict({f: nn.Embedding(n, WIDTH) for f, n in zip(FIELDS, sizes)})
        self.section = nn.Embedding(len(SECTIONS), WIDTH)
        self.maps = Maps()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=WIDTH**-0.5)
        # So that its tokens begin as small as the embeddings.
        nn.init.normal_(self.maps.project.weight, std=(WIDTH * CHANNELS) ** -0.5)

    def memory(self, section, facts, maps):
        """section [b], facts [b, n, 5] (fields, then the name's word) padded with -1, maps
        [b, structures, channels] or NaN where none."""
        known = facts[:, :, 0] >= 0
        fields = facts.clamp(min=0)
        tokens = sum(self.fields[f](fields[:, :, i]) for i, f in enumerate(FIELDS))
        # A fact without a name has the padding's word.
        tokens = tokens + self.token(fields[:, :, -1]) + places(facts.shape[1])
        vectors, seen = self.maps(maps)
        memory = torch.cat([self.section(section)[:, None], tokens, vectors], dim=1)
        always = torch.ones_like(seen[:, :1])
        return memory, torch.cat([always, known, seen], dim=1)[:, None, None]

    def forward(self, tokens, section, facts, maps):
        memory, mask = self.memory(section, facts, maps)
        x = self.token(tokens) + places(tokens.shape[1])
        for layer in self.layers:
            x = layer(x, memory, mask)
        return self.norm(x) @ self.token.weight.T


class Coder:
    """Facts and words as numbers."""

    def __init__(self, grammar: Grammar) -> None:
        self.token = {token: i for i, token in enumerate(grammar.vocabulary)}
        self.tables = (
            {kind: i for i, kind in enumerate(grammar.kinds)},
            {side: i for i, side in enumerate(SIDES)},
            {size: i for i, size in enumerate(SIZES)},
            {signal: i for i, signal in enumerate(SIGNALS)},
        )

    def fact(self, fact: Fact) -> list[int]:
        fields = [t[getattr(fact, field)] for t, field in zip(self.tables, FIELDS)]
        return [*fields, self.token[f"n:{fact.name}"] if fact.name else 0]


def newest() -> Path:
    """The decoder of the last training here, or the one that ships."""
    trained = cache_folder() / "report/decoder.safetensors"
    return trained if trained.exists() else CHECKPOINT


def save(path: Path, network: Decoder, facts: dict) -> None:
    """Weights and what is to be known of them; `facts["scans"]` is the number of scans, 0 of a decoder without maps."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"prism_decoder": json.dumps(facts)})


def load(path: Path, grammar: Grammar) -> tuple[Decoder, dict]:
    """The network and what is known of it."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["prism_decoder"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} is no decoder of this grammar: train one (training.report.train)") from error
    return network, facts
