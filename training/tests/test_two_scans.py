"""Scores of two scans: where the drawn mask lies, and results that grow."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np

from training import follow_up, resumed


class TwoScans(unittest.TestCase):
    def test_the_common_space_is_that_of_the_data_set(self):
        """ITK: y = M (x - c) + c + t, in LPS, so that the centre moves by the shift alone."""
        centre = np.array([-0.431239, -13.066, -14.9495, 1.0])
        moved = follow_up.from_common_space() @ centre
        np.testing.assert_allclose(moved[:3], [-0.4905681, -13.18545, -19.29167], atol=1e-5)
        # 10 mm towards the front (RAS) is y - 10 in LPS: the second column, negative.
        further = follow_up.from_common_space() @ (centre + [0, 10, 0, 0]) - moved
        np.testing.assert_allclose(further[:3], [-0.136326, 9.98513, 0.554887], atol=1e-5)

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
