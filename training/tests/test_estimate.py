"""Errors of people who are left out, in closed form and by leaving them out; volumes as the command writes them."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np

from training import estimate, identify
from training.identification import rebind, rows, scans

# Writes one structure a line, of 1.5 mL times its number, and counts how often it was asked.
COMMAND = """#!/bin/sh
echo asked >> "$(dirname "$0")/asked"
test "$1" = segment || exit 1
case "$2" in *broken*) echo "prism: no scan" >&2; exit 1;; esac
while [ "$1" != --csv ]; do shift; done
{
    printf 'index,id,name,volume_ml\\r\\n'
    printf '1,2,"Left, white",3.0000\\r\\n2,17,Left-Hippocampus,25.5000\\r\\n'
} > "$2"
"""


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


class Volumes(unittest.TestCase):
    def test_the_table_of_the_command_is_read_once(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            command = folder / "prism"
            command.write_text(COMMAND)
            command.chmod(0o755)
            scan = lambda stem: scans.Scan(stem, folder / f"{stem}.nii.gz", "t1_wholehead", stem, "train")  # noqa: E731
            for _ in range(2):
                found = estimate.volumes(command, estimate.BRAIN, [scan("sub-01"), scan("sub-02")], folder / "cache")
                self.assertEqual(found, {subject: {2: 3.0, 17: 25.5} for subject in ("sub-01", "sub-02")})
            self.assertEqual((folder / "asked").read_text(), "asked\n" * 2)
            with self.assertRaisesRegex(SystemExit, "broken.nii.gz was not segmented: prism: no scan"):
                estimate.volumes(command, estimate.BRAIN, [scan("broken")], folder / "cache")

    def test_logarithms_stand_as_they_are_named(self):
        volume = {structure: 1.0 for structure in estimate.STRUCTURES} | {17: 0.0, 99: 500.0}
        found = dict(zip(estimate.VOLUME_INPUTS, estimate.logarithms([volume])[0], strict=True))
        self.assertAlmostEqual(found["volume 2"], 0)
        self.assertAlmostEqual(found["volume 17"], np.log(0.02))
        self.assertAlmostEqual(found["volume sum"], np.log(len(estimate.STRUCTURES) - 1))

    def test_what_ships_scored_best(self):
        scores = {name: row["AUC"] for name, row in json.loads(estimate.RESULTS.read_text())["sex"].items() if "AUC" in row}
        self.assertEqual(scores[estimate.SEX], max(scores.values()))


class Shipped(unittest.TestCase):
    def test_the_sex_reads_volumes(self):
        rng, count = np.random.default_rng(8), 20
        names = [f"sub-{index:02}" for index in range(count)]
        male = np.arange(count) % 2 == 0
        who = estimate.People(names, rng.uniform(19, 55, count), male, male, male)
        # Men's brains are a fifth larger. The table has the people in another order.
        measured = {name: {structure: 10 * (1.2 if man else 1.0) * rng.uniform(0.95, 1.05) for structure in estimate.STRUCTURES}
                    for name, man in zip(names, male)}  # fmt: skip
        known = {"name": names, "subject": names, "variant": [""] * count, "data_set": ["t1_wholehead"] * count}
        vectors = {"structure": rng.normal(size=(count, 4)), "sequence": rng.normal(size=(count, 3))}
        table = rows.Table(vectors, {key: np.array(value) for key, value in known.items()}).where(np.arange(count)[::-1])
        with mock.patch.object(estimate, "people", return_value=who):
            found = {name: rest for name, *rest in estimate.shipped(table, measured, Path())}
        self.assertEqual(found["age"][2]["inputs"], ["structure", "sequence"])
        model, distance, info = found["sex"]
        self.assertEqual(info["inputs"], estimate.VOLUME_INPUTS)
        self.assertIn("right when left out", info["caution"])
        head = rebind.Stored(info, model, distance.whitening, distance.centres)
        for name, man in zip(names, male):
            named = dict(zip(estimate.VOLUME_INPUTS, estimate.logarithms([measured[name]]).T))
            self.assertEqual(head.answer(named), "male" if man else "female")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "volumes.json"
            identify.golden_of_volumes(path, info, model, distance, [measured[name] for name in names[:2]])
            cases = json.loads(path.read_text())
            self.assertEqual([case["sex"]["given"] for case in cases], ["male", "female"])
            self.assertEqual(dict(cases[0]["volumes"]), measured[names[0]])
            identify.golden_of_volumes(path, info | {"inputs": ["structure"]}, model, distance, [])
            self.assertFalse(path.exists())


if __name__ == "__main__":
    unittest.main()
