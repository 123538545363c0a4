"""The cached features as one table, and the small linear models that are fitted on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional


FAR = 0.99  # share of held-out training scans that must count as known
SLACK = 1.1  # other data sets lie a little further out than left-out subjects
DIRECTIONS = 24


@dataclass
class Table:
    """One row a scan or variant; `known` holds the columns (strings, "" where not known)."""

    vectors: dict[str, np.ndarray]
    known: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.known["name"])

    def where(self, mask: np.ndarray) -> "Table":
        return Table({k: v[mask] for k, v in self.vectors.items()}, {k: v[mask] for k, v in self.known.items()})

    def x(self, inputs: list[str]) -> np.ndarray:
        return np.hstack([self.vectors[name] for name in inputs]).astype(np.float64)


def load(folder: Path) -> Table:
    columns = ("name", "variant", "stripped", "data_set", "subject", "use", "part", "sequence")
    vectors, known = {}, {key: [] for key in columns}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            for key in stored.files:
                if key.startswith("vector_"):
                    vectors.setdefault(key.removeprefix("vector_"), []).append(stored[key])
            for key in columns:
                known[key].append(str(stored[key]))
    return Table({k: np.stack(v) for k, v in vectors.items()}, {k: np.array(v) for k, v in known.items()})


@dataclass
class Linear:
    """Standardisation, weights and bias: logits or numbers of a vector."""

    mean: np.ndarray
    deviation: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def z(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.deviation

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.z(x) @ self.weight.T + self.bias


def balance(labels: np.ndarray, data_sets: np.ndarray) -> np.ndarray:
    """Weights that give every class the same share, and within a class every data set."""
    weights = np.zeros(len(labels))
    classes = np.unique(labels)
    for label in classes:
        sets = np.unique(data_sets[labels == label])
        for name in sets:
            cell = (labels == label) & (data_sets == name)
            weights[cell] = 1 / (len(classes) * len(sets) * cell.sum())
    return weights


def logistic(x: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: list[str], strength: float) -> Linear:
    """Multinomial logistic regression with a ridge penalty on standardised features (L-BFGS)."""
    mean = weights @ x / weights.sum()
    deviation = np.sqrt(weights @ (x - mean) ** 2 / weights.sum()) + 1e-4
    z = torch.from_numpy((x - mean) / deviation)
    y = torch.from_numpy(np.array([classes.index(label) for label in labels]))
    w = torch.from_numpy(weights / weights.sum())
    weight = torch.zeros(len(classes), x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=300, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        each = functional.cross_entropy(z @ weight.T + bias, y, reduction="none")
        value = (w * each).sum() + strength * (weight**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    return Linear(mean, deviation, weight.detach().numpy(), bias.detach().numpy())


@dataclass
class Distance:
    """Distance to the nearest class centre, in standard deviations within classes (Lee et al., 2018).

    The directions are those in which the classes differ most from one another and the training scans
    vary most (principal components of the standardised vectors), whitened by the covariance within classes.
    """

    whitening: np.ndarray
    centres: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray, labels: np.ndarray, weights: np.ndarray, outputs: list[str]) -> "Distance":
        _, _, vt = np.linalg.svd(np.sqrt(weights)[:, None] * (z - weights @ z / weights.sum()), full_matrices=False)
        basis = vt[:DIRECTIONS]
        places = z @ basis.T
        present = [label for label in outputs if (labels == label).any()]
        centres = np.array([np.average(places[labels == c], 0, weights[labels == c]) for c in present])
        rest = places - centres[[present.index(label) for label in labels]]
        covariance = (weights[:, None] * rest).T @ rest / weights.sum()
        values, vectors = np.linalg.eigh(covariance)
        scale = vectors / np.sqrt(values + 0.02 * values.mean())
        return cls(scale.T @ basis, centres @ scale)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        places = z @ self.whitening.T
        return np.sqrt(((places[:, None] - self.centres[None]) ** 2).mean(2)).min(1)


def folds_of_subject(subjects: np.ndarray, count: int = 5) -> list[np.ndarray]:
    names = np.unique(subjects)
    place = dict(zip(names, np.random.default_rng(5).permutation(len(names)) % count))
    fold = np.array([place[name] for name in subjects])
    return [fold == index for index in range(count)]


def known_by_distance(
    z: np.ndarray, labels: np.ndarray, weights: np.ndarray, outputs: list[str], subjects: np.ndarray
) -> tuple[Distance, float]:
    """The distance, and the largest that still counts as known, from subjects left out of it."""
    distances = np.zeros(len(labels))
    for out in folds_of_subject(subjects):
        distances[out] = Distance.of(z[~out], labels[~out], weights[~out], outputs)(z[out])
    order = np.argsort(distances)
    share = np.cumsum(weights[order]) / weights.sum()
    most = SLACK * float(distances[order][np.searchsorted(share, FAR)])
    return Distance.of(z, labels, weights, outputs), most


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def newest(cache: Path) -> Path:
    """The folder of features that was written last (one a pack)."""
    folders = [path for path in (cache / "identify").iterdir() if path.is_dir() and any(path.glob("*.npz"))]
    return max(folders, key=lambda path: path.stat().st_mtime)
