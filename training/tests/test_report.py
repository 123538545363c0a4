"""Checks of the report decoder's facts and wording."""

import random
import tempfile
import unittest
from pathlib import Path

import nibabel
import numpy as np
import torch
from safetensors.numpy import load_file

from training.labels import BRAIN_IDS
from training.report.export import named, rounded
from training.report.facts import draw
from training.report.grammar import PAIRED, SECTIONS, Fact, Grammar
from training.report.network import CHANNELS, CHECKPOINT, PACK, STRUCTURES, Coder, Decoder, load, save
from training.report.scans import NAMED_AS, Scan, facts_of, keep, missing, paint, read_all, squash, structure_tokens
from training.report.scans import compared as in_scans
from training.report.score import HIPPOCAMPUS, Tally, against, kept, left_plain, plain_claims, probe, roc_area, shown_of
from training.report.train import collate, loss_of, of_scan, sample, scale
from training.report.truth import (
    agreement, compared, drawn_heart, drawn_parts, ejection, kinds, larger_part, marked, numbers, statements, swapped,
    told_heart, told_parts,
)  # fmt: skip


def scan(seed: int, foci: list[Fact] = ()) -> Scan:
    """A made-up scan with all structures but one."""
    maps = np.random.default_rng(seed).normal(size=(len(STRUCTURES), CHANNELS)).astype(np.float32)
    maps[3] = np.nan
    pairs = {section: [Fact("pair", name, size="even") for name in names] for section, names in PAIRED.items()}
    measured = pairs | {"impression": [Fact("found", size="some"), Fact("no_asymmetry")]}
    return Scan(f"{seed}", maps, "brain", measured, measured, [("deep_grey_matter", focus) for focus in foci])


class Wording(unittest.TestCase):
    def test_every_fact_is_worded_in_known_words(self):
        grammar, rng = Grammar(), random.Random(0)
        words = set(grammar.vocabulary)
        for section in SECTIONS * 100:
            _, facts = draw(rng, section)
            text = grammar.text(rng, facts)
            self.assertLessEqual(set(text), words)
            for fact in facts:
                if fact.name:
                    self.assertIn(f"n:{fact.name}", text)

    def test_the_larger_side_is_named_as_such(self):
        grammar = Grammar()
        for seed in range(50):
            text = grammar.sentence(random.Random(seed), Fact("pair", "putamen", "left", "marked"))
            line = " ".join(text)
            self.assertTrue(
                any(
                    words in line
                    for words in ("left n:putamen is", "left is larger", "smaller than the left")
                )
                and ("right n:putamen" not in line or "smaller than the left" in line),
                line,
            )

    def test_padding_changes_nothing(self):
        grammar = Grammar()
        coder = Coder(grammar)
        torch.manual_seed(0)
        network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
        rng = random.Random(5)
        one = ("impression", *draw(rng, "impression")[1:], None, ["All", "structures"])
        maps = scan(1).maps
        more = ("image_quality", *draw(rng, "image_quality")[1:], maps, ["The"] * 9)
        with torch.no_grad():
            tokens, *rest = collate([one], coder)
            alone = network(tokens[:, :3], *rest)
            tokens, *rest = collate([one, more], coder)
            together = network(tokens[:, :3], *rest)
        torch.testing.assert_close(alone[0], together[0], atol=1e-5, rtol=1e-4)

    def test_the_shipped_decoder_is_in_the_repository(self):
        grammar = Grammar()
        network, facts = load(CHECKPOINT, grammar)
        self.assertGreater(facts["steps"], 0)
        stored = rounded(network.state_dict())[1]
        for name, values in load_file(PACK).items():
            if not name.endswith(".scale"):
                np.testing.assert_allclose(values, stored[name], rtol=1e-6, err_msg=name)

    def test_a_fresh_clone_trains_without_scans(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(read_all(Path(folder, "none")), [])
            rng, grammar = random.Random(1), Grammar()
            batch = collate([sample(rng, grammar) for _ in range(3)], Coder(grammar))
            network = Decoder(len(grammar.vocabulary), len(grammar.kinds))
            self.assertGreater(loss_of(network, batch).item(), 0)
            path = Path(folder, "not/there/decoder.safetensors")
            save(path, network, {"steps": 3, "minutes": 0.1, "scans": 0})
            again, facts = load(path, grammar)
            self.assertEqual(facts["steps"], 3)
            torch.testing.assert_close(again.token.weight, network.token.weight)

    def test_a_claim_that_comes_twice_in_a_list_is_not_shown(self):
        claim = ("pair", "putamen", "", "even", "")
        tally = Tally()
        tally.add([claim], [[claim, claim]])
        self.assertEqual((tally.shown, tally.unsupported), (0, 1))
        tally.add([claim], [[claim]])
        self.assertEqual(tally.shown, 1)


class Scans(unittest.TestCase):
    def test_what_is_there_is_not_made_again(self):
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            self.assertEqual([index for index, _ in missing(where, 9, 3)], [0, 1, 2])
            fact = vars(Fact("pair", "putamen", size="even"))
            facts = {"deep_grey_matter": [fact]}
            known = {"pack": "brain", "measured": facts, "true": facts, "foci": []}
            tokens = np.full((len(STRUCTURES), CHANNELS), 0.5, np.float32)
            keep(missing(where, 9, 3)[1][1], tokens, known)
            self.assertEqual([index for index, _ in missing(where, 9, 3)], [0, 2])
            self.assertEqual([index for index, _ in missing(where, 90, 1)], [0])
            # Nothing half written is left, and what was written reads back.
            self.assertEqual([path.name for path in where.iterdir()], ["9-00001.npz"])
            (again,) = read_all(where)
            np.testing.assert_array_equal(again.maps, tokens)
            self.assertEqual(again.measured["deep_grey_matter"], [Fact("pair", "putamen", size="even")])

    def test_maps_are_standardised_by_structure_and_change_the_words(self):
        scans = [scan(seed) for seed in range(3)]
        mean, deviation = scale(scans)
        np.testing.assert_allclose(mean[0], np.mean([s.maps[0] for s in scans], 0), atol=1e-6)
        np.testing.assert_allclose(deviation[5], np.std([s.maps[5] for s in scans], 0), atol=1e-5)
        # A structure that no scan has.
        self.assertTrue((mean[3] == 0).all() and (deviation[3] == 1).all())
        grammar = Grammar()
        coder = Coder(grammar)
        network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
        network.maps.mean, network.maps.deviation = mean, deviation
        stored = rounded(network.state_dict())[1]
        # What maps are standardised by is not rounded.
        np.testing.assert_array_equal(stored["maps.mean"], mean.numpy())
        facts = scans[0].measured["impression"]
        with torch.no_grad():
            own, other, none = (
                network(tokens[:, :-1], *rest)
                for tokens, *rest in (
                    collate([("impression", facts, maps, ["All"])], coder)
                    for maps in (scans[0].maps, scans[1].maps, None)
                )
            )
        self.assertFalse(torch.allclose(own, other) or torch.allclose(own, none))
        # In training they are shaken and some are left out, after that none.
        maps = torch.from_numpy(scans[0].maps)[None]
        here = [network.maps.train()(maps) for _ in range(20)]
        self.assertFalse(torch.allclose(here[0][0], here[1][0]))
        self.assertLess(sum(seen.sum() for _, seen in here), 20 * 31)
        self.assertEqual(network.maps.eval()(maps)[1].sum(), 31)
        found = named(scans[0].maps, "brain")["structures"]
        self.assertEqual([name for name, _ in found], [n for i, n in enumerate(STRUCTURES) if i != 3])

    def test_a_focus_is_said_untold_only_where_the_maps_may_show_it(self):
        focus = Fact("focus", "putamen", "left", "small", "bright")
        one = scan(0, [focus])
        for with_maps, share, expected in ((True, 0.0, (0, 1)), (False, 0.0, (0, 0)), (False, 1.0, (1, 1))):
            for section in ("deep_grey_matter", "impression"):
                told, said = of_scan(random.Random(0), one, section, with_maps, share)
                self.assertEqual((told.count(focus), said.count(focus)), expected)
        told, _ = of_scan(random.Random(0), one, "deep_grey_matter", True, 1.0)
        self.assertEqual(told[told.index(focus) - 1].name, "putamen")
        self.assertNotIn(focus, of_scan(random.Random(0), one, "posterior_fossa", True, 1.0)[1])

    def test_rules_are_those_of_the_report(self):
        # core/src/report/sides.rs and wording/facts.rs; the fourth is within twice an error of 6 points.
        for left, right, cut, error, expected in (
            (2.0, 1.9, False, 0, ("", "even")),
            (2.0, 1.6, False, 0, ("left", "moderate")),
            (2.0, 1.6, True, 0, ("", "cut")),
            (1.6, 1.9, False, 6, None),
            (1.6, 1.9, False, None, None),
            (0.4, 0.3, False, 9, ("", "tiny")),
        ):
            self.assertEqual(in_scans(left, right, cut, error), expected)

    def test_facts_are_those_of_the_labels(self):
        labels = np.zeros((40, 40, 40), np.uint8)
        left, right = BRAIN_IDS.index(12), BRAIN_IDS.index(51)
        labels[5:15, 5:15, 5:15], labels[20:28, 5:15, 5:15] = left, right
        labels[30:, 30:, 30:] = BRAIN_IDS.index(16)
        facts = facts_of(labels, {})
        # 8 and 6.4 mL: 22 %.
        self.assertIn(Fact("pair", "putamen", "left", "moderate"), facts["deep_grey_matter"])
        self.assertIn(Fact("missing", "thalamus", "right"), facts["deep_grey_matter"])
        stem = [fact for fact in facts["posterior_fossa"] if fact.name == "brainstem"]
        self.assertEqual(stem, [Fact("single", "brainstem"), Fact("cut", "brainstem")])
        self.assertEqual(
            facts["impression"],
            [Fact("found", size="some"), Fact("pair", "putamen", "left", "moderate"), Fact("cuts")],
        )
        # Within twice an error of nine points.
        unsure = facts_of(labels, {"putamen": 9.0})
        self.assertEqual([f for f in unsure["deep_grey_matter"] if f.kind == "pair"], [])
        # Errors were measured, but not of the putamen.
        unknown = facts_of(labels, {"caudate": 1.0})
        self.assertEqual([f for f in unknown["deep_grey_matter"] if f.kind == "pair"], [])
        for name, _ in NAMED_AS[1:]:
            self.assertIn(f"n:{name}", Grammar().vocabulary)

    def test_tokens_are_means_inside_the_structures(self):
        # As core/src/pipeline/structure_maps.rs has them.
        labels = np.zeros((4, 4, 8), np.uint8)
        labels[0:3, 1, 0:2], labels[3, :, 6] = 5, 2
        near = torch.arange(32.0).reshape(1, 2, 2, 2, 4)
        deep = (7 - torch.arange(2.0)).reshape(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 4)
        tokens = structure_tokens([near, deep], labels)
        np.testing.assert_allclose(tokens[1], [13, 29, 7, 6], rtol=1e-6)
        np.testing.assert_allclose(tokens[4], [8 / 3, 56 / 3, 7, 6], rtol=1e-6)
        self.assertEqual(np.isnan(tokens).any(1).sum(), len(STRUCTURES) - 2)

    def test_painted_foci_are_where_they_are_said_to_be(self):
        target = np.zeros((40, 40, 40), np.uint8)
        target[2:20, 2:38, 2:38], target[20:38, 2:38, 2:38] = 1, BRAIN_IDS.index(41)
        painted = 0
        for seed in range(12):
            image = torch.full(target.shape, 100.0)
            for focus in paint(image, target, np.random.default_rng(seed)):
                painted += 1
                changed = (image - 100).numpy() * (target == focus.label)
                there = changed.max() > 10 if focus.signal == "bright" else changed.min() < -10
                self.assertTrue(there, focus)
                name, side = NAMED_AS[focus.label]
                self.assertEqual((focus.fact().name, focus.fact().side), (name, side))
        self.assertGreater(painted, 5)

    def test_a_structure_shrinks_where_positions_are_read_further_out(self):
        class Scene:
            flip = False

        target = np.zeros((40, 40, 40), np.uint8)
        target[14:26, 15:25, 16:24] = 7
        for factor, smaller in ((1.2, True), (0.85, False)):
            push = squash(Scene, target, 7, factor).numpy() / 2
            grid = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"))
            read = np.clip(np.rint(grid + push).astype(int), 0, 39)
            self.assertEqual((target[tuple(read)] == 7).sum() < (target == 7).sum(), smaller)

    def test_shown_is_what_is_told_and_not_said_before(self):
        fact = vars(Fact("pair", "putamen", size="even"))
        other = vars(Fact("focus", "putamen", "left", "small", "bright"))
        section = {"facts": [fact], "sentences": [{"claims": c} for c in ([fact], [fact], [other], None)]}
        self.assertEqual(shown_of(section), [[("pair", "putamen", "", "even", "")]])
        count = Tally()
        truth = [("pair", "putamen", "", "even", ""), ("focus", "putamen", "left", "small", "bright")]
        against(truth, shown_of(section), count, lambda claim: claim[0] == "focus")
        self.assertEqual((count.facts, count.claims), (1, 0))

    def test_a_difference_within_the_error_is_no_claim_of_the_plain_report(self):
        said = "- The left putamen measures 2.00 mL and the right 1.60 mL; the left is larger by 22.2%"
        ends = {
            ".": [[("pair", "putamen", "", "even", "")]],
            ", beyond the 10% from which this report names a difference.": [[("pair", "putamen", "left", "moderate", "")]],
            ", within the error of this model in this structure, in which it names a difference from 30%.": [],
            "; the error of this model in this structure is not known, so that this report names no difference.": [],
        }
        for end, expected in ends.items():
            text = f"\nFindings: deep grey matter\n-\n{said}{end}\n\nImage quality\n-"
            self.assertEqual(plain_claims(text), expected, end)

    def test_the_probe_finds_what_is_there(self):
        focus = Fact("focus", "putamen", "left", "small", "bright")
        row = STRUCTURES.index("Left-Putamen")

        def some(seeds, strength):
            made = [scan(seed, [focus] if seed % 2 else []) for seed in seeds]
            for one in made:
                one.maps[row, :40] += strength * bool(one.foci)
            return made

        clear = probe(some(range(40), 2.0), some(range(40, 60), 2.0))
        nothing = probe(some(range(40), 0.0), some(range(40, 60), 0.0))
        self.assertGreater(clear["auc_of_structures"], 0.95)
        self.assertLess(nothing["auc_of_structures"], 0.85)
        self.assertEqual(clear["structures_with_a_focus"], 10)
        # scipy.stats.mannwhitneyu([1, 3], [2, 0]): 3 of 4 pairs.
        self.assertEqual(roc_area(np.array([1.0, 3.0, 2.0, 0.0]), np.array([True, True, False, False])), 0.75)


class Truth(unittest.TestCase):
    def test_rules_are_those_of_the_report(self):
        # core/src/report/wording/facts.rs
        for left, right, expected in (
            (2.0, 1.9, ("", "even")),
            (2.0, 1.6, ("left", "moderate")),
            (1.6, 1.9, ("right", "mild")),
            (1.0, 1.6, ("right", "marked")),
            (0.4, 0.3, ("", "tiny")),
        ):
            self.assertEqual(compared(left, right), expected)

    def test_statements_are_counted_by_side_and_size(self):
        truth = {"a": ("left", "mild"), "b": ("", "even"), "c": ("right", "marked"), "d": ("left", "mild")}
        said = {"a": ("left", "marked"), "b": ("right", "mild"), "c": ("left", "marked"), "d": ("", "even")}
        counts = statements([(truth, said)])
        self.assertEqual(counts["named"], 3)
        self.assertEqual(counts["true"], 3)
        # a is on the right side, b is none, c on the wrong one; d is missed.
        self.assertEqual((counts["right_side"], counts["side_errors"], counts["size_errors"]), (1, 1, 1))
        self.assertEqual((counts["precision"], counts["recall"]), (0.3333, 0.3333))

    def test_a_heart_is_held_against_its_masks(self):
        # Voxels of 22.5 mm3: 2000, 1000 and 800 are 45, 22.5 and 18 mL.
        with tempfile.TemporaryDirectory() as folder:
            masks = []
            for at, voxels in enumerate(({3: 1000, 1: 800, 2: 900}, {3: 2000, 1: 1000, 2: 1000})):
                mask = np.zeros((20, 20, 12), np.uint8)
                mask.ravel()[: sum(voxels.values())] = np.repeat([*voxels], [*voxels.values()])
                masks.append(Path(folder, f"{at}_gt.nii.gz"))
                nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.5, 1.5, 10.0, 1.0])), masks[-1])
            drawn, diastole = drawn_heart(masks)
        self.assertEqual(diastole, 2)
        self.assertAlmostEqual(drawn["left ejection fraction"], 50.0)
        self.assertAlmostEqual(drawn["right stroke volume"], 4.5)
        self.assertAlmostEqual(drawn["left myocardial mass"], 1.05 * 22.5)
        # Sentences of core/src/report/heart.rs, as core/src/report/text.rs wraps them.
        text = (
            "\nFindings: heart\n---------------\n"
            "- The left ventricle measures 45.9 mL at end-diastole (phase 2) and 24.8 mL at\n"
            "  end-systole (phase 1): stroke volume 21.1 mL, ejection fraction 46.0%.\n"
            "- The mass of the left ventricle's myocardium is 28.4 g.\n"
            "! The right ventricle measures 22.0 mL at end-diastole (phase 2) and 23.0 mL at\n"
            "  end-systole (phase 1): stroke volume minus 1.0 mL, ejection fraction minus\n"
            "  4.5%.{}\n"
            "\nImage quality\n-------------\n"
        )
        told, phase = told_heart(text.format(""))
        self.assertEqual((phase, told["right stroke volume"], told["right ejection fraction"]), (2, -1.0, -4.5))
        unusable = (
            " With this model end-systolic volume, stroke volume and ejection\n"
            "  fraction of the right ventricle are not usable."
        )
        told, _ = told_heart(text.format(unusable))
        self.assertEqual([name for name in told if name.startswith("right")], ["right end-diastolic volume"])
        counts = numbers([(drawn, told)])
        # Right are EDV of both (2 % off), stroke volume (6 %) and fraction (4 points); ESV is 10.2 % off, the mass 20.
        self.assertEqual([counts["all"][key] for key in ("drawn", "told", "right", "size_errors")], [9, 6, 4, 2])
        self.assertEqual((counts["all"]["precision"], counts["all"]["recall"]), (0.6667, 0.4444))
        fraction = counts["left ejection fraction"]
        self.assertEqual((fraction["mean"], fraction["unit"]), (-4.0, "points"))
        self.assertEqual(counts["left end-diastolic volume"]["worst"], 2.0)
        self.assertEqual(told_heart("\nFindings: heart\n-\n- No ejection fraction\n\nImage quality\n-"), ({}, None))

    def test_a_reader_puts_fractions_in_classes(self):
        classes = [("", "even"), ("reduced", "mild"), ("reduced", "mild"), ("reduced", "marked")]
        self.assertEqual([ejection(percent) for percent in (50, 49.9, 40.1, 40)], classes)
        drawn, outlined = np.array([3, 3, 3, 1, 1, 1]), np.array([1, 1, 3, 1, 1, 3])
        # Of the left outline one voxel lies on each.
        self.assertEqual(swapped([(outlined, drawn)]), 0)
        self.assertEqual(swapped([(4 - drawn, drawn)]), 2)
        self.assertEqual(swapped([]), 0)

    def test_a_hippocampus_is_held_against_its_mask(self):
        labels = np.zeros((20, 20, 20), int)
        labels[5:15, 10:16, 5:15], labels[5:15, 0:9, 5:9] = 1, 2
        drawn, cut = drawn_parts(labels, 0.002)
        self.assertEqual(cut, {"posterior"})
        for name, value in (("whole volume", 1.92), ("anterior volume", 1.2), ("posterior share", 37.5)):
            self.assertAlmostEqual(drawn[name], value)
        # As core/src/report/findings.rs writes and text.rs wraps it.
        text = (
            "\nFindings\n--------\n- All labelled structures together measure 2.06 mL.\n"
            "- The hippocampus anterior measures 1.16 mL, 56.3% of all labelled structures.\n"
            "- The hippocampus posterior measures 0.90 mL, 43.7% of all labelled structures.\n"
            "! At the edge of the field of view, so that the volume is probably too small:\n"
            "  hippocampus anterior (3 voxels at the left side) and hippocampus posterior (40\n"
            "  voxels at the posterior side).\n"
            "\nImage quality\n-------------\n\nImpression\n----------\n\nMethod\n------\n"
        )
        told, told_cut = told_parts(text)
        self.assertEqual(told, {
            "whole volume": 2.06, "anterior volume": 1.16, "anterior share": 56.3,
            "posterior volume": 0.9, "posterior share": 43.7,
        })  # fmt: skip
        # The posterior volume is 25 % off, the shares are 6 points.
        self.assertEqual([numbers([(drawn, told)])["all"][key] for key in ("drawn", "told", "right")], [5, 5, 2])
        self.assertEqual(agreement([(cut, told_cut)]), {"true": 1, "named": 2, "right": 1, "precision": 0.5, "recall": 1.0})
        # 50 and 25 %: the same part in another word.
        counts = statements([(larger_part(drawn), larger_part(told))])
        self.assertEqual([counts[key] for key in ("right_side", "side_errors", "size_errors")], [1, 0, 1])
        self.assertEqual(larger_part({"anterior volume": 1.0}), {})
        quality = [{"section": "image_quality", "facts": []}]
        self.assertEqual(left_plain(text, quality), ["Findings", "Impression"])

    def test_scoring_keeps_to_unseen_crops(self):
        with tempfile.TemporaryDirectory() as folder:
            crops = Path(folder, "hippocampus")
            crops.mkdir()
            for number in range(17):
                for end in ("", "_gt"):
                    (crops / f"hippocampus_{number:03}{end}.nii.gz").touch()
            names = [path.name for path in kept(HIPPOCAMPUS, Path(folder))]
        self.assertEqual(names, ["hippocampus_007.nii.gz", "hippocampus_015.nii.gz"])

    def test_a_mass_is_named_where_it_is_marked(self):
        # Rows of core/src/report/html.rs.
        row = (
            '<tr id="lesion-{0}"><td class="n">{0}</td><td>{1}</td><td class="n">{2}</td><td class="n">31</td><td>deep</td>'
            '<td>left cerebral white matter</td><td class="n">0.81</td><td class="n">-20.0, 4.0, 11.0</td></tr>\n'
        )
        page = row.format(1, "oedema", "9.50") + row.format(2, "mass", "4.20") + row.format(3, "mass", "5.00")
        told = marked(page)
        self.assertEqual((told["marks_told"], told["told_ml"]), (3, {"oedema": 9.5, "mass": 9.2}))
        self.assertEqual(told["largest_mass"], {"ml": 5.0, "mm": 31.0, "in": "left cerebral white matter"})
        other = marked(row.format(1, "oedema", "9.50"))
        self.assertEqual((other["mass_named"], other["largest_mass"]), (False, None))

    def test_kinds_stand_in_one_table(self):
        said = statements([({"a": ("left", "mild")}, {"a": ("right", "mild")})])
        patient = {
            "marks_told": 2, "marks_right": 1, "side_errors": 0, "size_errors": 1, "lesions_drawn": 4, "lesions_told": 1,
        }  # fmt: skip
        count = numbers([({"volume": 1.0}, {"volume": 1.2})])
        result = {
            "brain": {"left_out": said},
            "lesions": {"one": patient, "two": patient},
            "heart": {"numbers": count, "ventricles": {"outlined": 2, "side_errors": 1}, "reduced": said},
            "hippocampus": {"numbers": count, "larger_part": said, "cut": agreement([({"anterior"}, set())])},
        }
        table = kinds(result)
        self.assertEqual(table["unequal sides of the brain"]["side_errors"], 1)
        self.assertEqual(table["lesions"], {
            "true": 8, "told": 4, "right": 2, "precision": 0.5, "recall": 0.25, "side_errors": 0, "size_errors": 2,
        })  # fmt: skip
        self.assertEqual(table["numbers of the heart"], {
            "true": 1, "told": 1, "right": 0, "precision": 0.0, "recall": 0.0, "side_errors": 1, "size_errors": 1,
        })  # fmt: skip
        self.assertEqual(table["cut parts of the hippocampus"], {
            "true": 1, "told": 0, "right": 0, "recall": 0.0,
        })  # fmt: skip


if __name__ == "__main__":
    unittest.main()
