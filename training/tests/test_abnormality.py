"""Scores of the abnormality map, and the pack of the pretraining."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

from training import pack, quantise
from training.lesions import abnormality
from training.model import NetworkConfig
from training.pretraining import card, export
from training.pretraining.networks import Pretraining

SMALL = NetworkConfig(channels=(4, 4, 8, 8, 16), convs=(1, 1, 1, 1, 1))


class Scores(unittest.TestCase):
    def test_area_is_that_of_all_pairs_and_ties_count_half(self):
        values = np.array([3.0, 1.0, 2.0, 2.0, 0.0])
        drawn = np.array([True, False, True, False, False])
        # Six pairs: 3 beats all three, 2 beats 1 and 0 and ties 2.
        self.assertAlmostEqual(abnormality.area(values, drawn), 5.5 / 6)
        self.assertAlmostEqual(abnormality.area(-values, drawn), 0.5 / 6)

    def test_best_dice_calls_equal_values_together(self):
        drawn = np.array([True, True, False, False])
        self.assertEqual(abnormality.best_dice(np.array([4.0, 3.0, 2.0, 1.0]), drawn), 1.0)
        # All or none: 2 * 2 / (4 + 2).
        self.assertAlmostEqual(abnormality.best_dice(np.ones(4), drawn), 2 / 3)

    def test_only_the_brain_counts_and_the_sign_is_the_sequences(self):
        found, scan = np.zeros((8, 8, 8), np.float32), np.full((8, 8, 8), 7.0)
        found[2:6, 2:6, 2:6] = 0.5 + np.arange(64).reshape(4, 4, 4) / 1000
        drawn = np.zeros(found.shape, bool)
        drawn[2, 2, 2:6] = drawn[0, 0, 0] = True
        found[2, 2, 2:6] = -3.0
        row = abnormality.against(found, scan, drawn, np.array([1.0, 1.0, 1.0]), -1)
        self.assertEqual((row["drawn_ml"], row["drawn_in_brain_ml"]), (0.01, 0.0))
        self.assertEqual((row["auc"]["map"], row["auc"]["map signed"], row["auc"]["grey"]), (1.0, 1.0, 0.5))
        self.assertEqual(abnormality.against(found, scan, drawn, np.ones(3), 1)["auc"]["map signed"], 0.0)
        self.assertEqual(row["mean_in_lesions"], 3.0)

    def test_share_above_a_limit(self):
        percentiles = list(np.linspace(0, 10, 21))
        self.assertAlmostEqual(abnormality.share_above(percentiles, 7.5), 0.25)
        self.assertEqual(abnormality.share_above(percentiles, 99), 0.0)


class Packs(unittest.TestCase):
    def test_the_pack_renders_as_the_checkpoint_does(self):
        torch.manual_seed(3)
        model = Pretraining(SMALL).eval()
        tensors = export.tensors(model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pretrained.safetensors"
            described = export.document({"step": 5, "seconds": 60.0}, 1, "0") | {"scores": {}}
            pack.write_tensors(path, tensors, export.architecture(SMALL), described)
            self.assertEqual([row["file"] for row in pack.index(path.parent)], [path.name])
            card.write(path)
            self.assertIn("5 steps", path.with_suffix(".md").read_text())
            from safetensors.numpy import load_file

            stored = quantise.dequantise_all(load_file(path))
        self.assertEqual(sorted(stored), sorted(tensors))
        for name in ("judge", "project", "queue", "standard"):
            self.assertFalse([key for key in stored if name in key], name)
        # The small decoder is stored nearly as it is.
        renamed = {
            "decoder." + key.removeprefix("renderer.decoder."): torch.from_numpy(value)
            for key, value in stored.items() if key.startswith("renderer.decoder.")
        }  # fmt: skip
        x = torch.rand(1, 1, 32, 32, 32)
        encoded = model.encode(x)
        with torch.no_grad():
            before = model.render(encoded["map"], encoded["sequence"], None)
            model.load_state_dict(renamed, strict=False)
            after = model.render(encoded["map"], encoded["sequence"], None)
        self.assertLess(float((after - before).std()), 0.05 * float(before.std()))

    def test_the_parameters_come_in_their_units(self):
        model = Pretraining(SMALL).eval()
        tensors, head = export.tensors(model), model.parameters_head
        hidden = torch.randn(2, head.output.in_features)
        name = "heads.sequence_parameters.output"
        given = hidden @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        normalised = head.output(hidden)
        torch.testing.assert_close(given[:, 0], normalised[:, 0] * 1.5 + 7.0)
        torch.testing.assert_close(given[:, 2], normalised[:, 2] * 45.0 + 60.0)


    def test_heads_read_vectors_as_they_are_pooled(self):
        torch.manual_seed(4)
        model = Pretraining(SMALL).eval()
        vectors = {name: 3 + 5 * torch.randn(6, s.mean.numel()) for name, s in model.standard.items()}
        for name, standard in model.standard.items():
            standard.see(vectors[name])
            torch.testing.assert_close(standard(vectors[name]).mean(0), torch.zeros(len(standard.mean)), atol=1e-5, rtol=0)
        parameters, body = model.told(vectors)
        tensors = export.tensors(model)

        def answer(name: str, head, vector):
            state = {key.removeprefix(f"heads.{name}."): value for key, value in tensors.items() if f".{name}." in key}
            fresh = type(head)(vector.shape[1], head.hidden.out_features, head.output.out_features).eval()
            fresh.load_state_dict(state)
            return fresh(vector)

        torch.testing.assert_close(answer("body_part", model.body_head, vectors["structure"]), body, atol=1e-4, rtol=1e-4)
        told = answer("sequence_parameters", model.parameters_head, vectors["sequence"])
        torch.testing.assert_close(told[:, 0], parameters[:, 0] * 1.5 + 7.0, atol=1e-3, rtol=1e-4)


if __name__ == "__main__":
    unittest.main()
