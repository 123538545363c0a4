"""Checks of the parts whose errors would not show in a loss curve."""

import tempfile
import unittest
from pathlib import Path

import nibabel
import numpy as np
import torch

from training import golden, labels, losses, pack, predict, preprocess, quantise, scores
from training.model import HeadConfig, Network, NetworkConfig, count_parameters


class Preprocessing(unittest.TestCase):
    def test_reorient_agrees_with_nibabel(self):
        rng = np.random.default_rng(0)
        volume = rng.random((5, 6, 7)).astype(np.float32)
        for codes in ("LPS", "PIR", "SAL", "RAS", "ILA"):
            start = nibabel.orientations.axcodes2ornt(codes)
            affine = np.linalg.inv(nibabel.orientations.inv_ornt_aff(start, volume.shape))
            image = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, affine))
            mine, mine_affine = preprocess.reorient(volume, affine)
            np.testing.assert_array_equal(mine, image.get_fdata(dtype=np.float32))
            np.testing.assert_allclose(mine_affine, image.affine)
            np.testing.assert_array_equal(preprocess.restore(mine, affine), volume)

    def test_resampling_keeps_constants_and_positions(self):
        ramp = np.tile(np.arange(40, dtype=np.float32)[:, None, None], (1, 8, 8))
        out = preprocess.resample(ramp, np.ones(3), np.array([2.0, 1.0, 1.0]))
        self.assertEqual(out.shape, (20, 8, 8))
        # Output voxel i lies at input position 2 i + 0.5; the ends lack a neighbour.
        np.testing.assert_allclose(out[2:-2, 0, 0], np.arange(2, 18) * 2 + 0.5, rtol=1e-5)
        flat = preprocess.resample(np.full((9, 7, 5), 3.0), np.ones(3), np.array([2.0, 0.7, 1.3]))
        np.testing.assert_allclose(flat, 3.0, rtol=1e-5)

    def test_sizes_round_half_up(self):
        self.assertEqual(preprocess.resampled_size(165, 1.0, 2.0), 83)
        self.assertEqual(preprocess.resampled_size(1, 1.0, 4.0), 1)

    def test_labels_return_to_the_scan(self):
        truth = np.zeros((40, 50, 60), dtype=np.uint8)
        truth[8:30, 10:40, 12:44] = 1
        affine = np.diag([-1.0, 1.0, -1.0, 1.0])
        settings = {"orientation": "RAS", "spacing_mm": [2.0] * 3,
                    "intensity": {"rule": "percentile", "low": 0.5, "high": 99.5}}  # fmt: skip
        prepared = preprocess.prepare(truth * 100.0, affine, settings)
        votes = np.stack([1 - prepared.input, prepared.input])
        self.assertGreater(scores.dice(preprocess.to_scan_labels(votes, prepared) > 0, truth > 0), 0.95)


class Packs(unittest.TestCase):
    def test_round_trip_within_half_a_step(self):
        weights = np.random.default_rng(1).normal(size=(8, 16, 3, 3, 3)).astype(np.float32)
        q, scale = quantise.quantise(weights)
        error = np.abs(quantise.dequantise(q, scale) - weights)
        self.assertTrue((error <= scale[:, None, None, None, None] * 0.5001).all())

    def test_written_pack_reads_back_and_a_changed_byte_is_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.safetensors"
            pack.write(path, golden.tiny_network(), {"name": "tiny"})
            network, document = pack.read(path)
            self.assertEqual(document["schema"], 1)
            self.assertEqual(count_parameters(network), count_parameters(golden.tiny_network()))
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(bytes(content))
            with self.assertRaises(ValueError):
                pack.read(path)

    def test_label_table_pairs(self):
        table = {row["index"]: row for row in labels.label_table()}
        self.assertEqual(len(table), 32)
        for row in table.values():
            if row["pair"] is not None:
                self.assertEqual(table[row["pair"]]["pair"], row["index"])
                self.assertNotEqual(table[row["pair"]]["side"], row["side"])


class Learning(unittest.TestCase):
    def test_batch_of_one_norm_equals_instance_norm(self):
        network = Network(NetworkConfig(channels=(4, 4, 8, 8, 8),
                          heads=(HeadConfig("segmentation", "segmentation", classes=3),)))  # fmt: skip
        x = torch.rand(2, 1, 32, 32, 32)
        both = network(x)["heads"]["segmentation"]
        single = torch.cat([network(x[i : i + 1])["heads"]["segmentation"] for i in (0, 1)])
        torch.testing.assert_close(both, single, rtol=1e-4, atol=1e-4)

    def test_perfect_logits_have_no_loss(self):
        target = torch.randint(0, 4, (500,))
        logits = torch.nn.functional.one_hot(target, 4) * 50.0
        dice, entropy = losses.dice_cross_entropy(logits, target, torch.ones(500))
        self.assertLess(float(dice), 1e-3)
        self.assertLess(float(entropy), 1e-3)

    def test_windows_cover_the_volume(self):
        starts = predict.positions(130, 96, 0.5)
        self.assertEqual((starts[0], starts[-1]), (0, 34))
        self.assertTrue(all(b - a <= 96 for a, b in zip(starts, starts[1:])))

    def test_identical_volumes_have_icc_one(self):
        values = np.array([3.0, 5.0, 9.0, 4.0])
        self.assertAlmostEqual(scores.intraclass_correlation(values, values), 1.0)


if __name__ == "__main__":
    unittest.main()
