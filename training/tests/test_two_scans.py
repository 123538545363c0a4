"""Scores of two scans: where the drawn mask lies, and results that grow."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import nibabel
import numpy as np

from training import follow_up, registration, resumed, shrink


class TwoScans(unittest.TestCase):
    def test_the_common_space_is_that_of_the_data_set(self):
        """ITK: y = M (x - c) + c + t, in LPS, so that the centre moves by the shift alone."""
        centre = np.array([-0.431239, -13.066, -14.9495, 1.0])
        moved = follow_up.from_common_space() @ centre
        np.testing.assert_allclose(moved[:3], [-0.4905681, -13.18545, -19.29167], atol=1e-5)
        # 10 mm towards the front (RAS) is y - 10 in LPS: the second column, negative.
        further = follow_up.from_common_space() @ (centre + [0, 10, 0, 0]) - moved
        np.testing.assert_allclose(further[:3], [-0.136326, 9.98513, 0.554887], atol=1e-5)

    def test_structures_shrink_by_what_was_asked(self):
        x, y, z = np.indices((40, 36, 32))
        ball = lambda a, b, c, r: (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < r**2  # noqa: E731
        masks = [ball(12, 18, 16, 7), ball(28, 18, 16, 6)]
        scan = 50 + 100 * masks[0] + 40 * masks[1]
        small, lost = shrink.shrunk(scan, masks, 0.1, (1.0, 1.0, 1.0))
        np.testing.assert_allclose(lost, 0.1, atol=0.003)
        # What the scan shows above its background.
        self.assertAlmostEqual((small - 50)[:20].sum() / (100 * masks[0].sum()), 0.9, delta=0.005)
        np.testing.assert_allclose(small[:3], 50)

    def test_a_bent_scan_shows_what_its_waves_lead_to(self):
        waves = registration.Waves(np.random.default_rng(0))
        affine = np.array([[2.0, 0, 0, -40], [0, 2, 0, -30], [0, 0, 2, -20], [0, 0, 0, 1]])
        point = nibabel.affines.apply_affine(affine, [20, 15, 10])
        # Greys are millimetres along y.
        scan = 2.0 * np.indices((40, 30, 20))[1] - 30
        moved = np.zeros((40, 30, 20, 1, 3)) + [-1, -2, 3]
        with tempfile.TemporaryDirectory() as place:
            straight, bent, field = (Path(place) / name for name in ("s.nii.gz", "b.nii.gz", "f.nii.gz"))
            for values, path in ((scan, straight), (moved, field)):
                nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), path)
            registration.bent(straight, waves, bent)
            shown = nibabel.load(bent).get_fdata()[20, 15, 10]
            self.assertAlmostEqual(shown, (point + waves(point))[1], places=3)
            # ITK's components are LPS.
            there = registration.through_field(field, point[None])
        np.testing.assert_allclose(there, [point + [1, 2, 3]], atol=1e-5)

    def test_results_of_another_pack_are_not_kept(self):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "result.json"
            first = resumed.resume(path, "a", {"brain": "1"})
            self.assertEqual(set(first), {"command", "packs", "commits"})
            resumed.save(path, first | {"pairs": {"1-2": 3}})
            self.assertEqual([entry.name for entry in Path(place).iterdir()], ["result.json"])
            again = resumed.resume(path, "b", {"brain": "1"})
            self.assertEqual((again["pairs"], again["command"]), ({"1-2": 3}, "b"))
            self.assertEqual(again["commits"], first["commits"])
            self.assertNotIn("pairs", resumed.resume(path, "a", {"brain": "2"}))
            self.assertIn("pairs", json.loads(path.read_text()))


if __name__ == "__main__":
    unittest.main()
