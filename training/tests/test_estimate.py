"""Errors of people who are left out, in closed form and by leaving them out."""

import unittest

import numpy as np

from training import estimate


def people(count: int = 14, columns: int = 5):
    rng = np.random.default_rng(3)
    x = rng.normal(2.0, 3.0, (count, columns))
    return x, 40 + x @ rng.normal(size=columns) + rng.normal(0, 4.0, count)


def without(i: int, count: int) -> np.ndarray:
    return np.arange(count) != i


class LeftOut(unittest.TestCase):
    def ridge(self, z: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
        """Every error by a fit without that person; the standardisation is everybody's, as in the closed form."""
        errors = []
        for i in range(len(y)):
            kept = without(i, len(y))
            centre, level = z[kept].mean(0), y[kept].mean()
            a = z[kept] - centre
            weight = np.linalg.solve(a.T @ a + strength * np.eye(z.shape[1]), a.T @ (y[kept] - level))
            errors.append(y[i] - level - (z[i] - centre) @ weight)
        return np.array(errors)

    def test_ridge(self):
        x, y = people()
        fitted = estimate.Ridge(x, y)
        z = estimate.standardised(x)[0]
        np.testing.assert_allclose(fitted.errors, self.ridge(z, y, fitted.strength), rtol=1e-8)
        scores = [(self.ridge(z, y, strength) ** 2).mean() for strength in estimate.STRENGTHS]
        self.assertEqual(fitted.strength, estimate.STRENGTHS[int(np.argmin(scores))])

    def test_mean(self):
        x, y = people()
        expected = [y[i] - y[without(i, len(y))].mean() for i in range(len(y))]
        np.testing.assert_allclose(estimate.Mean(x, y).errors, expected)

    def test_gaussian_process(self):
        x, y = people()
        fitted = estimate.GaussianProcess(x, y)
        square = ((fitted.z[:, None] - fitted.z[None]) ** 2).mean(2)
        kernel = np.exp(-square / (2 * fitted.length**2))
        errors = []
        for i in range(len(y)):
            kept = without(i, len(y))
            noisy = kernel[np.ix_(kept, kept)] + fitted.noise * np.eye(len(y) - 1)
            errors.append(y[i] - y.mean() - kernel[i, kept] @ np.linalg.solve(noisy, y[kept] - y.mean()))
        np.testing.assert_allclose(fitted.errors, errors, rtol=1e-8)

    def test_the_other_group_is_predicted_without_itself(self):
        x, y = people()
        groups = np.arange(len(y)) % 2 == 0
        given, _ = estimate.left_out(estimate.Mean, x, y, groups)
        np.testing.assert_allclose(given, np.where(groups, y[~groups].mean(), y[groups].mean()))


if __name__ == "__main__":
    unittest.main()
