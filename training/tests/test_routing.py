"""What is summed up of the command's answers."""

import tempfile
import unittest
from pathlib import Path

from training import routing
from training.identification import scans


class Summed(unittest.TestCase):
    def test_calibration_is_that_of_the_answers(self):
        rows = [
            {"scan": "a", "true": "T1w", "given": "T1w", "p": 0.95},
            {"scan": "b", "true": "T1w", "given": "T2w", "p": 0.95},
            {"scan": "c", "true": "FLAIR", "given": None, "p": 0.5},
        ]
        found = routing.summed(rows)
        self.assertEqual((found["scans"], found["answered"], found["right"]), (3, 2, 1))
        # One of two right at .95: the unknown one has no part in it.
        self.assertAlmostEqual(found["expected calibration error of the answers"], 0.45)
        self.assertEqual(found["answers"], rows)
        self.assertIsNone(routing.summed(rows[2:])["expected calibration error of the answers"])

    def test_sets_that_were_learnt_from_are_left_out(self):
        rows = routing.of_unseen({"cardiac_acdc": [1], "ms_lesions": [2, 3]})
        self.assertEqual(rows, [2, 3])


class Outside(unittest.TestCase):
    def test_label_maps_that_lie_beside_scans_are_found_and_the_large_sets_thinned(self):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            files = [f"cardiac_acdc/patient00{n}_frame01{end}" for n in range(1, 5) for end in ("", "_gt")]
            files += [f"eval_t1_labelled/100{n}_{end}" for n in (0, 4) for end in ("T1w_brain", "glm", "tissues")]
            files += ["hippocampus/hippocampus_001_gt", "ms_lesions/patient07_GOLD_STANDARD", "ms_longitudinal/patient01_gt"]
            for file in files:
                (data / file).parent.mkdir(exist_ok=True)
                (data / f"{file}.nii.gz").touch()
            found = scans.hand_labels(data, every=3)
        self.assertEqual([scan.name for scan in found if scan.data_set == "labels of cardiac_acdc"],
                         ["cardiac_acdc/patient001_frame01_gt", "cardiac_acdc/patient004_frame01_gt"])  # fmt: skip
        self.assertEqual(sum(scan.data_set == "labels of eval_t1_labelled" for scan in found), 4)
        self.assertEqual(len(found), 9)
        self.assertTrue(all(scan.use == "outside" and scan.pack == "" for scan in found))

    def test_what_is_not_known_is_counted(self):
        answer = lambda given: {"given": given}  # noqa: E731
        known = {"sequence": answer("T1w"), "body_part": answer("head"), "warnings": [], "fits": "brain"}
        told = {"sequence": answer(None), "body_part": answer(None), "warnings": ["This looks like a map."], "fits": None}
        silent = told | {"warnings": [], "body_part": answer("heart")}
        self.assertEqual(
            routing.unknown([known, told, silent]),
            {"images": 3, "sequence unknown": 2, "body part unknown": 1, "told to be a map": 1, "no pack fits": 2},
        )


if __name__ == "__main__":
    unittest.main()
