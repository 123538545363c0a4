"""Checks of the report decoder's facts and wording."""

import random
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from training.labels import BRAIN_IDS
from training.report.export import named, rounded
from training.report.facts import draw
from training.report.grammar import PAIRED, SECTIONS, Fact, Grammar
from training.report.network import CHANNELS, CHECKPOINT, PACK, STRUCTURES, Coder, Decoder, load, save
from training.report.scans import NAMED_AS, Scan, facts_of, paint, read_all, squash, structure_tokens
from training.report.scans import compared as in_scans
from training.report.score import Tally, against, plain_claims, probe, roc_area, shown_of
from training.report.train import collate, loss_of, of_scan, sample, scale
from training.report.truth import compared, statements


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


if __name__ == "__main__":
    unittest.main()
