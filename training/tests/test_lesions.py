"""Synthetic sequences of the lesion pack, and the optimiser that trains it."""

import subprocess
import unittest

import numpy as np
import torch
from scipy import ndimage

from training import export, optimiser
from training.lesions import abnormality, evaluate, fusions, paint
from training.lesions.intensities import Tissue, curve, through, uneven_tissue
from training.pretraining import card


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


class Shapes(unittest.TestCase):
    """A ball of white matter in air, with a ventricle in its middle; 2 mm."""

    def anatomy(self, seed: int) -> paint.Anatomy:
        far = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0)
        ids = np.where(far < 4, 4, np.where(far < 15, 2, 0))
        from_brain = np.clip(2 * (far - 15), 0, 20)
        rng = np.random.default_rng(seed)
        return paint.Anatomy(ids, from_brain, 2.0, rng, torch.Generator().manual_seed(seed))

    def test_a_white_matter_lesion_lies_in_white_matter(self):
        drawn = 0
        for seed in range(6):
            anatomy, painted = self.anatomy(seed), paint.Painted()
            paint.white_matter_lesions(anatomy, painted)
            self.assertTrue(bool((painted.white_matter[~anatomy.white] == 0).all()))
            drawn += int(painted.white_matter.max() > 0.42)
        # Some choose only places that this anatomy lacks.
        self.assertGreater(drawn, 3)

    def test_oedema_stays_in_white_matter_and_a_core_in_the_brain(self):
        reached = 0
        for seed in range(6):
            anatomy, painted = self.anatomy(seed), paint.Painted()
            paint.mass(anatomy, painted, np.array([27.0, 19.0, 19.0]), 6.0, "ring")
            # Softened over one voxel.
            near = ndimage.binary_dilation(anatomy.white, np.ones((3, 3, 3)))
            self.assertTrue(bool((painted.oedema[~near] == 0).all()))
            self.assertTrue(bool((painted.solid[anatomy.from_brain > 3] == 0).all()))
            self.assertTrue(bool((painted.necrosis <= painted.solid).all()))
            reached += int((painted.oedema > painted.solid).any())
        self.assertGreater(reached, 2)

    def test_a_mass_pushes_tissue_outwards(self):
        size, spacing, centre = (24, 24, 24), 2.0, np.array([4.0, -2.0, 0.0])
        push = paint.mass_push(centre, 8.0, 3.0, size, spacing).numpy()
        axes = [(np.arange(n) - (n - 1) / 2) * spacing - c for n, c in zip(size, centre)]
        offset = np.stack(np.meshgrid(*axes, indexing="ij"))
        # What is seen at a place comes from nearer to the middle.
        before, read = np.linalg.norm(offset, axis=0), np.linalg.norm(offset + push, axis=0)
        self.assertTrue(bool((read < before).all()))
        self.assertGreater(float((before - read).max()), 2.0)


class Scores(unittest.TestCase):
    def test_the_baseline_calls_what_is_far_brighter_than_white_matter(self):
        rng = np.random.default_rng(1)
        scan = rng.normal(100, 5, (20, 20, 20)).astype(np.float32)
        inside = np.zeros(scan.shape, bool)
        inside[2:18, 2:18, 2:18] = True
        scan[6:9, 6:9, 6:9] = 140
        scan[0:2] = 200  # outside
        found = evaluate.bright(scan, inside, 0.001)
        wanted = np.zeros_like(found)
        wanted[6:9, 6:9, 6:9] = True
        self.assertEqual(int((found & ~inside).sum()), 0)
        self.assertTrue(bool(found[wanted].all()))
        # Single bright voxels are smaller than a lesion.
        self.assertLess(int((found & ~wanted).sum()), 3)

    def test_enhancement_is_what_contrast_agent_adds(self):
        rng = np.random.default_rng(2)
        before = rng.normal(500, 30, (20, 20, 20)).astype(np.float32)
        after = 2 * before + rng.normal(0, 5, before.shape).astype(np.float32)
        after[5:10, 5:10, 10:15] += 400
        after[12:15, 12:15, 2:5] += 400  # at the surface
        before[:, :, 0] = after[:, :, 0] = 0
        found = evaluate.enhancement(before, after, np.ones(3))
        wanted = np.zeros_like(found)
        wanted[5:10, 5:10, 10:15] = True
        row = evaluate.overlap(wanted, found, 0.001)
        self.assertGreater(row["dice"], 0.95)
        self.assertEqual(row["mass_ml"], 0.12)

    def test_a_person_is_judged_by_the_studies_of_others(self):
        ill = {f"ill {n}": [(0.9, True), (0.95, True)] for n in range(4)} | {"missed": [(0.05, True)]}
        well = {f"well {n}": [(0.1, False)] for n in range(6)} | {"doubtful": [(0.9, False)]}
        found = evaluate.left_out(ill | well)
        self.assertEqual(found["people"], 12)
        self.assertEqual(found["with_lesions"], {"studies": 9, "said_likely": 8})
        self.assertEqual(found["healthy"], {"studies": 7, "said_likely": 1})
        # Only their own studies say that a low probability is that of a lesion.
        alone = evaluate.left_out({"a": [(0.2, True)] * 20, "b": [(0.6, False)], "c": [(0.7, False)]})
        self.assertEqual(alone["with_lesions"], {"studies": 20, "said_likely": 0})
        self.assertEqual(evaluate.left_out({})["people"], 0)

    def test_studies_of_one_person_are_left_out_together(self):
        row = lambda p: {"probability": p}  # noqa: E731
        people = evaluate.by_person({
            "ms_lesions": {"patient07 FLAIR": row(0.9), "patient07 T1": row(0.6)},
            "ms_longitudinal": {"study1 FLAIR": row(0.7), "study2 FLAIR": row(0.8)},
            "glioma": {"glioma00001": row(0.98)},
            "healthy": {"kirby113 FLAIR": row(0.4), "kirby113 T2w": row(0.3), "sub-62_T1w": row(None)},
        })  # fmt: skip
        self.assertEqual(people["patient07"], [(0.9, True), (0.6, True)])
        self.assertEqual(people["ms_longitudinal"], [(0.7, True), (0.8, True)])
        self.assertEqual(people["kirby113"], [(0.4, False), (0.3, False)])
        self.assertEqual(len(people), 4)

    def test_healthy_heads_the_calibration_knows_are_also_left_out(self):
        study = lambda p, ml: {"probability": p, "ml": ml, "lesions": int(ml > 0)}  # noqa: E731
        drawn = study(0.9, 1.0) | {"dice": 0.5, "lesion_f1": 0.4}
        found = evaluate.summarise({
            "ms_lesions": {"patient07 FLAIR": drawn},
            "ms_longitudinal": {"study1 FLAIR": study(0.8, 2.0), "study1 T2W FLAIR": {"refused": "could not be registered"}},
            "glioma": {"glioma00001": study(0.9, 9.0) | {"mass_and_enhancement": {}}},
            "healthy": {"sub-62_T1w": study(0.1, 0.0), "1000_T1w_brain": study(0.7, 0.4)},
            "baseline": {"kirby113 T2": {"lesions": 1, "ml": 0.2}}, "seen": {},
        }, ["sub-62_T1w"])  # fmt: skip
        self.assertEqual((found["healthy"]["studies"], found["healthy"]["said_likely"]), (2, 1))
        apart = found["healthy_without_development"]
        self.assertEqual((apart["studies"], apart["said_likely"], apart["largest_ml"]), (1, 1, 0.4))
        self.assertEqual(found["left_out"]["people"], 5)
        # A study that was refused is no miss.
        patients = {"people": 4, "studies": 3, "said_likely": 3, "refused": 1}
        self.assertEqual(found["patients"], patients)

    def test_only_what_the_command_refuses_is_kept_as_refused(self):
        words = "prism: this sequence could not be registered to it: is it of the same head? (t2.nii.gz)"
        said = subprocess.CalledProcessError(1, "prism", stderr=f"prism: note: a\n{words}\n")
        self.assertEqual(evaluate.refused(said), {"refused": words})
        other = subprocess.CalledProcessError(1, "prism", stderr="prism: the pack is damaged\n")
        self.assertRaises(subprocess.CalledProcessError, evaluate.refused, other)

    def test_a_signed_map_is_held_against_a_signed_grey(self):
        rng = np.random.default_rng(3)
        drawn = np.zeros((12, 12, 12), bool)
        drawn[5:7, 5:7, 5:7] = True
        # Lesions a little above the median: darker voxels are as far from it as brighter ones, but below.
        scan = rng.choice([50.0, 100.0, 150.0], drawn.shape, p=[0.4, 0.2, 0.4])
        scan[drawn] = 101.0
        found = np.where(drawn, 0.5, 1.0)
        row = abnormality.against(found, scan, drawn, np.ones(3), 1)
        rest = scan[~drawn]
        self.assertAlmostEqual(row["auc"]["grey"], float((rest == 100).mean()), places=3)
        self.assertAlmostEqual(row["auc"]["grey signed"], float((rest < 101).mean()), places=3)
        dark = abnormality.against(found, scan, drawn, np.ones(3), -1)
        for name in ("grey signed", "grey blurred signed", "map signed"):
            self.assertAlmostEqual(row["auc"][name] + dark["auc"][name], 1.0, places=3)

    def test_the_summary_holds_signed_scores_beside_the_unsigned(self):
        names = ("map", "map signed", "grey", "grey signed", "grey blurred", "grey blurred signed")

        def case(first: float) -> dict:
            scores = {name: round(first + 0.1 * at, 2) for at, name in enumerate(names)}
            return {"drawn_ml": 1.0, "auc": scores, "best_dice": scores, "percentiles_in_lesions": [0.0, 1.0]}

        found = abnormality.summarise({
            "ms_lesions": {"patient07 FLAIR": case(0.1), "patient07 T1": case(0.3)},
            "healthy": {"one": {"percentile_99": 2.0}},
        })  # fmt: skip
        row = found["scans"]["patient07 FLAIR"]
        self.assertEqual([row[f"{name}auc"] for name in ("", "grey_", "baseline_")], [0.1, 0.3, 0.5])
        self.assertEqual([row[f"signed_{name}auc"] for name in ("", "grey_", "baseline_")], [0.2, 0.4, 0.6])
        self.assertEqual([found[f"mean_signed_{name}auc"] for name in ("", "grey_", "baseline_")], [0.3, 0.5, 0.7])
        told = card.abnormality({"abnormality": found})
        self.assertIn("| patient07 FLAIR | 1.0 | .10 | .30, .50 | .20 | .40, .60 |", told)
        self.assertIn("| mean | | .20 | .40, .60 | .30 | .50, .70 |", told)

    def test_a_rule_is_scored_on_samples_that_did_not_choose_its_shift(self):
        steps = len(fusions.SHIFTS)

        def case(best: int) -> dict:
            rows = [[8 if at == best else 2, 10] for at in range(steps)]
            return {"names": ["T1w", "FLAIR"], "finding": "mass", "rules": {"mean of logits": rows}}

        per_round = len(fusions.SETS) * len(fusions.FINDINGS)
        summary = fusions.summarise({"9": case(4), str(per_round + 9): case(7)})
        row = summary["rules"]["mean of logits"]
        self.assertEqual((row["shift"], row["dice"]), (float(fusions.SHIFTS[4]), 0.2))
        self.assertEqual(summary["best"], "mean of logits")

    def test_rules_fuse_what_each_sequence_says_alone(self):
        torch.manual_seed(5)

        class Stub:
            heads = {"segmentation": torch.nn.Conv3d(1, 3, 1)}

            def features(self, scan):
                return {"fused": scan, "maps": None}

            def decoder(self, fused, _):
                return [fused]

        image = torch.randn(2, 3, 3, 3)
        found = fusions.rules(Stub(), image, ["T1w", "FLAIR"])
        alone = torch.stack([found["T1w alone"], found["FLAIR alone"]])
        torch.testing.assert_close(found["maximum of lesion logits"], alone.max(0).values)
        one = lambda scan: fusions.odds(Stub.heads["segmentation"](scan[None, None])[0])  # noqa: E731
        torch.testing.assert_close(found["mean of logits"], one(image.mean(0)))
        torch.testing.assert_close(found["maximum of features"], one(image.max(0).values))
        torch.testing.assert_close(found["FLAIR alone"], one(image[1]))


class Provenance(unittest.TestCase):
    def test_the_pack_names_the_anatomies_that_lesions_were_painted_into(self):
        settings = {
            "task": "lesions", "name": "lesions", "title": "", "labels": [], "colors": [], "data": "", "licence": "",
            "preprocessing": {"spacing_mm": [1.5] * 3}, "start_from": "brain",
        }  # fmt: skip
        names = [one["name"] for one in export.task_description(settings)["data"]]
        self.assertIn("18 of 20", names[0])
        self.assertIn("40 of 48", names[1])
        whole = [one["name"] for one in export.anatomies()]
        self.assertIn("(20 whole heads)", whole[0])


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
