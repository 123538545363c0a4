"""The report decoder: words attend to the facts of a section and to the encoder's pooled features.

Memory: one token a fact (the sum of the embeddings of its fields and of its place; a name is
embedded as the word it becomes), one for the section, and one each for the encoder's structure and
sequence vectors where a scan was encoded. Decoder: token and place embeddings, then layers of causal
self-attention, attention to the memory and a GELU block, each after a layer norm; the word's embedding is its
output weight. The same network is written in Rust in core/src/report/wording/network.rs; names agree.

`save` and `load` keep a decoder as safetensors; training/checkpoints/report.safetensors is the one that ships. Its
float weights were not kept: they are the pack's int8 weights times their scales, without those that read the
encoder's vectors (`python -m training.report.network` makes it of the pack).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from training import quantise
from training.paths import REPOSITORY, cache_folder
from training.report.grammar import SECTIONS, SIDES, SIGNALS, SIZES, Fact, Grammar

CHECKPOINT = REPOSITORY / "training/checkpoints/report.safetensors"
PACK = REPOSITORY / "public/packs/report.safetensors"
WIDTH, LAYERS, HEADS, HIDDEN = 128, 2, 4, 256
LONGEST, FACTS = 224, 24
FEATURES = 192
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


class Decoder(nn.Module):
    def __init__(self, vocabulary: int, kinds: int) -> None:
        super().__init__()
        sizes = (kinds, len(SIDES), len(SIZES), len(SIGNALS))
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.fields = nn.ModuleDict({f: nn.Embedding(n, WIDTH) for f, n in zip(FIELDS, sizes)})
        self.section = nn.Embedding(len(SECTIONS), WIDTH)
        self.features = nn.Linear(FEATURES, WIDTH, bias=False)
        self.branch = nn.Embedding(2, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=WIDTH**-0.5)

    def memory(self, section, facts, features):
        """section [b], facts [b, n, 5] (fields, then the name's word) padded with -1, features
        [b, 2, 192] or NaN where none."""
        known = facts[:, :, 0] >= 0
        fields = facts.clamp(min=0)
        tokens = sum(self.fields[f](fields[:, :, i]) for i, f in enumerate(FIELDS))
        # A fact without a name has the padding's word.
        tokens = tokens + self.token(fields[:, :, -1]) + places(facts.shape[1])
        seen = ~features.isnan().any(-1)
        vectors = self.features(features.nan_to_num()) + self.branch.weight
        memory = torch.cat([self.section(section)[:, None], vectors, tokens], dim=1)
        always = torch.ones_like(seen[:, :1])
        return memory, torch.cat([always, seen, known], dim=1)[:, None, None]

    def forward(self, tokens, section, facts, features):
        memory, mask = self.memory(section, facts, features)
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


def save(path: Path, network: Decoder, facts: dict, scale=None) -> None:
    """Weights, what is to be known of them, and the mean and deviation of the encoder's vectors."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    if scale is not None:
        tensors |= {name: torch.as_tensor(value) for name, value in zip(("mean", "deviation"), scale)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"prism_decoder": json.dumps(facts)})


def load(path: Path, grammar: Grammar) -> tuple[Decoder, dict, tuple | None]:
    """The network, what is known of it, and the scale of the encoder's vectors, where it reads them."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["prism_decoder"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    scale = (tensors.pop("mean").numpy(), tensors.pop("deviation").numpy()) if "mean" in tensors else None
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    if unexpected or any(not name.startswith(("features.", "branch.")) for name in missing):
        raise ValueError(f"{path} is no decoder of this grammar: {[*missing, *unexpected]}")
    return network, facts, scale


def recovered() -> None:
    """The checkpoint of the pack's own weights."""
    with safe_open(PACK, "np") as file:
        about = json.loads(file.metadata()["prism_wording"])
    weights = quantise.dequantise_all(load_file(PACK))
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    facts = {key: about["provenance"][key] for key in ("steps", "minutes")} | {"from": "the pack, dequantised"}
    save_file(tensors, CHECKPOINT, {"prism_decoder": json.dumps(facts)})
    print(CHECKPOINT, sum(values.numel() for values in tensors.values()), "weights")


if __name__ == "__main__":
    recovered()
