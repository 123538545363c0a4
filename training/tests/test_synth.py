"""Synthetic scans on a small drawn head: repeatable, sides, strips, doubts and slices as they are said to be."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

from training import self_training, synth
from training.labels import BRAIN_IDS, LEFT_RIGHT
from training.synth import DISTANCE_BIT, DOUBT_BIT, Plan, synthesise

PLAN = Plan((32, 32, 32), (0.2, 0.2, 0.2, 0.2, 0.2), 1.0)
SIDE = 64


def generation() -> np.ndarray:
    """18 labels without a side, 18 left ones and their right ones, in the order that the priors have."""
    neutral = [0, 14, 15, 16, 24, 72, 85, 502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530]
    left = [2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 17, 18, 25, 26, 28, 30, 136, 163]
    right = [41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 57, 58, 60, 62, 137, 164]
    return np.array(neutral + left + right)


def head(ids: np.ndarray, doubt: int = 0) -> np.ndarray:
    """White matter on both sides in a shell of soft tissue, packed voxels."""
    where = lambda label: int(np.flatnonzero(ids == label)[0])  # noqa: E731
    packed = np.full((SIDE,) * 3, 20 << DISTANCE_BIT, np.uint16)
    inside = (slice(8, -8),) * 3
    packed[inside] = where(506) | 20 << DISTANCE_BIT
    packed[20:32, 18:46, 18:46] = where(2) | doubt << DOUBT_BIT
    packed[32:44, 18:46, 18:46] = where(41) | doubt << DOUBT_BIT
    return packed


def store(folder: Path, packed: np.ndarray, scan: bool, step: object) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "one.npy", packed)
    np.save(folder / "one-ventricles.npy", np.zeros((3, SIDE // 2, SIDE // 2, SIDE // 2), np.float16))
    if scan:
        np.save(folder / "one-scan.npy", np.where(packed & 63, 120, 0).astype(np.uint8))
    index = {"step": step, "centres": {"one": [31.5] * 3}, "ventricles_ml": {"one": 10.0}}
    (folder / "index.json").write_text(json.dumps(index))


def cache(folder: Path) -> tuple[Path, Path]:
    """A cache with a drawn head and one with predicted labels; the priors."""
    ids, priors = generation(), folder / "priors"
    store(folder / "brain", head(ids), False, 0)
    store(folder / "self_training", head(ids, doubt=5), True, 3500)
    priors.mkdir()
    classes = np.arange(len(ids)) % 30
    np.save(priors / "generation_labels.npy", ids)
    np.save(priors / "generation_classes.npy", classes)
    np.save(priors / "generation_classes_contrast_specific.npy", classes)
    np.save(priors / "prior_means_t1.npy", np.stack([np.linspace(30, 200, 30), np.full(30, 5.0)]))
    np.save(priors / "prior_stds_t1.npy", np.stack([np.full(30, 8.0), np.full(30, 2.0)]))
    np.save(priors / "synthseg_segmentation_labels.npy", np.where(np.isin(ids, BRAIN_IDS), ids, 0))
    return folder, priors


class Synthesis(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder, cls.priors = cache(Path(folder.name))
        cls.brain = synth.Brain(cls.folder, cls.priors)

    def test_a_seed_gives_one_sample(self):
        first, again, other = (synthesise(self.brain, 1, index, PLAN) for index in (4, 4, 5))
        self.assertEqual(first.keys(), again.keys())
        for name, value in first.items():
            self.assertTrue(torch.equal(value, again[name]), name)
        self.assertFalse(torch.equal(first["image"], other["image"]))
        self.assertFalse(torch.equal(first["image"], synthesise(self.brain, 2, 4, PLAN)["image"]))

    def test_a_flip_exchanges_the_sides(self):
        left, right = (BRAIN_IDS.index(i) for i in (2, 41))
        self.assertEqual(LEFT_RIGHT[2], 41)
        flips = set()
        for index in range(6):
            rng = np.random.default_rng([1, index])
            torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
            rng.random()
            flips.add(synth.sample_labels(self.brain.drawn, rng, torch_rng, PLAN).flip)
            target = synthesise(self.brain, 1, index, PLAN)["target"].numpy()
            # Label 2 of the head lies at low x, and what is called 2 does so with and without a flip.
            places = [np.argwhere(target == side)[:, 0] for side in (left, right)]
            self.assertGreater(min(len(place) for place in places), 100)
            self.assertLess(places[0].mean(), places[1].mean())
        self.assertEqual(flips, {True, False})

    def test_a_strip_leaves_background_outside(self):
        seen = {True: 0, False: 0}
        for index in range(16):
            sample = synthesise(self.brain, 3, index, PLAN)
            stripped = bool(sample["stripped"])
            rng = np.random.default_rng([3, index])
            torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
            rng.random()
            scene = synth.sample_labels(self.brain.drawn, rng, torch_rng, PLAN)
            outside = torch.ones(sample["target"].shape, dtype=torch.bool)
            for corner in [*scene.corners, scene.centre]:
                outside &= ((corner >> DISTANCE_BIT) & 31) == 20
            values = sample["image"][0][outside]
            if stripped:
                self.assertEqual(float(values.max()), 0.0)
                self.assertEqual(int(sample["target"][outside].max()), 0)
                self.assertGreater(float(sample["image"].max()), 0.0)
            elif float(values.max()) > 0:
                seen[False] += 1
            seen[True] += stripped
        self.assertGreater(min(seen.values()), 0, seen)

    def test_only_predicted_maps_are_in_doubt(self):
        self.assertNotIn("certainty", synthesise(self.brain, 1, 0, PLAN))
        sure = synth.Plan((32, 32, 32), PLAN.shares, 1.0, predicted=1.0)
        sample = synthesise(self.brain, 1, 0, sure)
        inside = sample["target"] > 0
        torch.testing.assert_close(sample["certainty"][inside].unique(), torch.tensor([1 - 5 / 15]))
        self.assertEqual(float(sample["certainty"].max()), 1.0)
        for name in ("half", "quarter"):
            self.assertEqual(sample[f"certainty_{name}"].shape, sample[f"target_{name}"].shape)
        self.assertFalse(bool(sample["real"]))
        self.assertTrue(bool(synthesise(self.brain, 1, 0, synth.Plan(PLAN.size, PLAN.shares, 1.0, real=1.0))["real"]))

    def test_thick_slices_are_made(self):
        # Of noise, a coarser axis is what is smoother along itself than along the others.
        image = torch.rand(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))[0]
        rough = lambda x: [float(x.diff(dim=axis).abs().mean()) for axis in range(3)]  # noqa: E731
        for axis in range(3):
            values = rough(synth.coarsen(image.clone(), axis, 3.0))
            self.assertEqual(int(np.argmin(values)), axis)
            self.assertLess(values[axis], 0.5 * min(values[:axis] + values[axis + 1 :]))

        def thick(finest: float) -> float:
            """The most that one axis is smoother than another, over a few acquisitions."""
            found = 0.0
            for seed in range(4):
                rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
                how = synth.Acquired(torch.ones(image.shape), None, 255.0, 1.0, 0.2, thick=1.0, finest=finest)
                values = rough(synth.acquire(image.clone() * 255, how, rng, torch_rng))
                found = max(found, max(values) / min(values))
            return found

        self.assertGreater(thick(1.0), 1.3)
        # The same millimetres are more voxels of a finer grid.
        self.assertGreater(thick(2.0), 1.2 * thick(1.0))

    def test_a_finer_grid_sees_as_much_larger_a_head(self):
        sizes = []
        for spacing in (2.0, 1.0):
            plan = Plan((48, 48, 48), PLAN.shares, 0.0, spacing=spacing)
            sizes.append(np.mean([(synthesise(self.brain, 1, i, plan)["target"] > 0).float().mean() for i in range(6)]))
        self.assertGreater(sizes[1], 2.5 * sizes[0])


class Predicted(unittest.TestCase):
    def test_labels_of_the_pack_and_of_a_run_lie_apart(self):
        with tempfile.TemporaryDirectory() as name:
            folder, priors = cache(Path(name))
            run, by_pack = (self_training.folder_of(folder, pack) for pack in (False, True))
            self.assertNotEqual(run, by_pack)
            self.assertEqual(run, folder / "self_training")
            self.assertEqual(synth.source_of(by_pack), {})
            store(by_pack, head(generation()), True, synth.BY_PACK)
            self.assertEqual(synth.source_of(by_pack), {"folder": by_pack.name, "step": "prism segment"})
            doubts = lambda brain: int((brain.predicted.volumes[0] >> DOUBT_BIT).max())  # noqa: E731
            self.assertEqual(doubts(synth.Brain(folder, priors)), 5)
            self.assertEqual(doubts(synth.Brain(folder, priors, ("self_training_pack", "self_training"))), 0)

    def test_the_log_names_them_and_the_brain_refuses_the_packs(self):
        from training import train

        with tempfile.TemporaryDirectory() as name:
            folder, _ = cache(Path(name))
            taught, lesions = {"self_training": {"real": 0.5}}, {"task": "lesions"}
            self.assertEqual(train.anatomies(taught, folder), {"folder": "self_training", "step": 3500})
            self.assertEqual(train.anatomies({"self_training": {"real": 0.0}}, folder), {})
            self.assertEqual(train.anatomies(lesions, folder)["step"], 3500)
            store(folder / "self_training_pack", head(generation()), True, synth.BY_PACK)
            self.assertEqual(train.anatomies(lesions, folder)["step"], synth.BY_PACK)
            index = folder / "self_training" / "index.json"
            index.write_text(json.dumps(json.loads(index.read_text()) | {"step": synth.BY_PACK}))
            with self.assertRaises(SystemExit):
                train.anatomies(taught, folder)


if __name__ == "__main__":
    unittest.main()
