"""What is summed up of the command's answers."""

import unittest

from training import routing


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


if __name__ == "__main__":
    unittest.main()
