"""Synthetic sequences of the lesion pack, and the optimiser that trains it."""

import unittest

import numpy as np
import torch

from training import optimiser
from training.lesions.intensities import Tissue, curve, through, uneven_tissue


class Curves(unittest.TestCase):
    def test_tissues_come_out_with_the_means_that_are_promised(self):
        scan = Tissue(white=0.8, grey=0.55, fluid=0.2)
        for name in ("T2w", "FLAIR", "PD"):
            for seed in range(20):
                knots, values, promised = curve(scan, name, np.random.default_rng(seed))
                seen = through(torch.tensor([0.0, scan.white, scan.grey, scan.fluid]), knots, values)
                wanted = [0.0, promised.white, promised.grey, promised.fluid]
                np.testing.assert_allclose(seen.numpy(), wanted, rtol=1e-6)
                self.assertGreater(promised.grey, promised.white)
                self.assertLess(promised.fluid, promised.white if name == "FLAIR" else 3)

    def test_a_scan_without_order_of_tissues_still_has_a_curve(self):
        knots, _, _ = curve(Tissue(white=0.4, grey=0.6, fluid=0.7), "T2w", np.random.default_rng(1))
        self.assertEqual(knots, sorted(knots))

    def test_only_healthy_tissue_of_wet_sequences_changes(self):
        ids = np.zeros((6, 6, 6), int)
        ids[:2], ids[2:4] = 2, 17
        noise = lambda millimetres: np.ones(ids.shape, np.float32)  # noqa: E731
        tissue = Tissue(0.5, 0.6, 0.1)
        changed = 0
        for seed in range(20):
            image = torch.full(ids.shape, 0.5)
            uneven_tissue(image, ids, "T1w", tissue, noise, np.random.default_rng(seed))
            self.assertTrue(bool((image == 0.5).all()))
            uneven_tissue(image, ids, "FLAIR", tissue, noise, np.random.default_rng(seed))
            self.assertTrue(bool((image[:2] == 0.5).all()))
            changed += int((image[2:4] != 0.5).any())
        self.assertGreater(changed, 10)


class Muon(unittest.TestCase):
    def test_the_small_matrix_gives_what_the_long_one_does(self):
        torch.manual_seed(3)
        a, b, c = optimiser.COEFFICIENTS
        for shape in ((8, 60), (60, 8), (24, 24)):
            matrix = torch.randn(*shape)
            x = matrix.double() if shape[0] <= shape[1] else matrix.double().T
            x = x / x.norm()
            for _ in range(optimiser.ITERATIONS):
                gram = x @ x.T
                x = a * x + (b * gram + c * gram @ gram) @ x
            wanted = x if shape[0] <= shape[1] else x.T
            torch.testing.assert_close(optimiser.orthogonalise(matrix).double(), wanted, rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    unittest.main()
