"""Scores of heads carried to MNI, of further features, and of lesions that shrank."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import nibabel
import numpy as np

from training import follow_up, registration, two_scans_card
from training.labels import scoring_map


def write(path: Path, data: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(data.astype(np.int16), np.eye(4)), path)
    return path


class ToMni(unittest.TestCase):
    def test_pairs_of_maps_are_scored_structure_by_structure(self):
        name, entry = next(iter(scoring_map().items()))
        number = entry["neuromorphometrics"][0]
        maps = [np.zeros((4, 4, 4)) for _ in range(3)]
        for data, count in zip(maps, (4, 4, 2)):
            data.flat[:count] = number
        with tempfile.TemporaryDirectory() as place:
            paths = [write(Path(place) / f"{at}.nii.gz", data) for at, data in enumerate(maps)]
            found = registration.pairwise(paths)
        # 4 of 4 and 4; 2 of 4 and 2, twice.
        self.assertAlmostEqual(found[name], (1 + 2 / 3 + 2 / 3) / 3, places=4)

    def test_a_head_gets_the_ways_that_it_lacks_from_the_same_affine_part(self):
        asked = []

        def register(command, moving, fixed, out, *more):
            asked.append([str(one) for one in more])
            write(Path(more[more.index("--labels-out") + 1]), np.ones((2, 2, 2)))
            if "--affine" in more:
                Path(more[more.index("--affine") + 1]).write_text("affine")
            return {"seconds": 1.0, "processor_seconds": 2.0, "folded": 0.0}

        with tempfile.TemporaryDirectory() as place, mock.patch.object(registration, "register", register):
            keep = Path(place) / "1000"
            scan = labels = Path(place) / "scan.nii.gz"
            first = registration.to_mni(Path("prism"), scan, labels, registration.WAYS, {}, keep)
            self.assertEqual(set(first), {"affine", "network", "mind"})
            self.assertEqual(len(asked), 3)
            for line in asked[1:]:
                self.assertEqual(line[line.index("--initial") + 1], str(keep) + "_affine.txt")
            ways = registration.WAYS | {"encoder": "encoder"}
            second = registration.to_mni(Path("prism"), scan, labels, ways, first, keep)
            self.assertEqual((set(second) - set(first), len(asked)), ({"encoder"}, 4))
            # A map that is gone is made again.
            registration.kept(keep, "mind").unlink()
            registration.to_mni(Path("prism"), scan, labels, ways, second, keep)
            self.assertEqual(asked[4][asked[4].index("--features") + 1], "mind")
            self.assertEqual(len(asked), 5)

    def test_the_summary_and_the_card_name_what_every_head_has(self):
        row = {"seconds": 3.0, "processor_seconds": 5.0}
        heads = {
            subject: {"affine": row, "network": row | {"folded": folded}, "mind": row | {"folded": 0.0}}
            for subject, folded in (("a", 0.001), ("b", 0.002))
        }
        scores = {"affine": {"x": 0.5, "y": 0.7}, "network": {"x": 0.8, "y": 0.9}, "mind": {"x": 0.7, "y": 0.8}}
        found = registration.summary({"to_mni": {"heads": heads, "dice": scores}})["to_mni"]
        self.assertEqual((found["heads"], found["pairs"]), (2, 1))
        self.assertEqual((found["network"]["dice"], found["network"]["folded"]), (0.85, 0.002))
        self.assertIsNone(found["affine"]["folded"])
        told = "\n".join(two_scans_card.to_mni(found))
        self.assertIn("| this pack | 0.850 | 0.200 % | 5 |", told)
        self.assertIn("| affine alone | 0.600 |  | 5 |", told)

    def test_further_features_are_named_once_every_row_has_them(self):
        rows = {"a": {"network": 1, "mind": 1, "encoder": 1}, "b": {"network": 1, "mind": 1}}
        self.assertEqual(registration.shared(rows), ["network", "mind"])
        rows["b"]["encoder"] = 1
        self.assertEqual(registration.shared(rows), ["network", "mind", "encoder"])
        self.assertEqual(registration.any_sequence({"greys": "greys", "encoder": "encoder"}), {"encoder": "encoder"})


class Shrunken(unittest.TestCase):
    def test_shrunken_lesions_are_told_apart(self):
        fates = np.array([1, 1, 0, 3, 3, 0, 3, 0]).reshape(8, 1, 1)
        drawn = np.array([1, 1, 0, 1, 0, 0, 0, 0], bool).reshape(8, 1, 1)
        found = follow_up.shrunken_apart(fates > 0, fates == 3, drawn)
        # Two spots; 2 voxels of 2 and 3.
        self.assertEqual(found, {"spots_shrunken": 2, "dice_without_shrunken": 0.8})
        self.assertIn("2 spots are of shrunken lesions", two_scans_card.of_fates(found))
        self.assertEqual(two_scans_card.of_fates({}), "")


if __name__ == "__main__":
    unittest.main()
