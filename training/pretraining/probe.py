"""Does the separation hold? Linear probes and retrieval on samples the training never saw.

Sequence should be read from the sequence feature and not from the structure feature; the body part the
other way round; and the structure feature should find the same anatomy under another sequence.
"""

from __future__ import annotations

import numpy as np
import torch

from training.pretraining.data import Source


def ridge_accuracy(train: np.ndarray, y: np.ndarray, test: np.ndarray, z: np.ndarray) -> float:
    """Accuracy of a ridge-regression classifier on standardised features."""
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    a = np.hstack([(train - mean) / deviation, np.ones((len(train), 1))])
    b = np.hstack([(test - mean) / deviation, np.ones((len(test), 1))])
    classes = np.unique(y)
    wanted = (y[:, None] == classes[None]).astype(float)
    weights = np.linalg.solve(a.T @ a + 10.0 * np.eye(a.shape[1]), a.T @ wanted)
    return float((classes[(b @ weights).argmax(1)] == z).mean())


@torch.no_grad()
def features(model, source: Source, seed: int, indices: range, variant: int = 0) -> dict:
    rows = {"structure": [], "sequence": [], "part": [], "kind": []}
    for index in indices:
        sample = source.sample(seed, index, variant)
        encoded = model.encode(sample.image[None].to(next(model.parameters()).device))
        for name in ("structure", "sequence"):
            rows[name].append(model.pool(encoded[name])[0].cpu().numpy())
        rows["part"].append(sample.body_part)
        rows["kind"].append(sample.sequence)
    return {name: np.array(value) for name, value in rows.items()}


def probe(model, source: Source, seed: int, count: int) -> dict:
    """Accuracies (with the share of the largest class as chance) and retrieval at 1."""
    model.eval()
    train = features(model, source, seed, range(count))
    test = features(model, source, seed + 1, range(count))
    result = {}
    for label, target in (("sequence", "kind"), ("body part", "part")):
        known_train, known_test = train[target] >= 0, test[target] >= 0
        share = np.bincount(test[target][known_test]).max() / known_test.sum()
        result[f"{label}: chance"] = float(share)
        for name in ("structure", "sequence"):
            result[f"{label} from {name} feature"] = ridge_accuracy(
                train[name][known_train], train[target][known_train],
                test[name][known_test], test[target][known_test],
            )  # fmt: skip
    other = features(model, source, seed + 1, range(count), variant=1)
    synthetic = np.array([not np.array_equal(a, b) for a, b in zip(test["structure"], other["structure"])])
    for name in ("structure", "sequence"):
        a, b = test[name][synthetic], other[name][synthetic]
        a = (a - a.mean(0)) / np.linalg.norm(a - a.mean(0), axis=1, keepdims=True)
        b = (b - b.mean(0)) / np.linalg.norm(b - b.mean(0), axis=1, keepdims=True)
        nearest = (a @ b.T).argmax(1)
        result[f"same anatomy found by {name} feature"] = float((nearest == np.arange(len(a))).mean())
    result["retrieval: chance"] = float(1 / max(synthetic.sum(), 1))
    model.train()
    return result
