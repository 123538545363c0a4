"""Checks of the report decoder's facts and wording."""

import random
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from training import quantise
from training.report.facts import draw
from training.report.grammar import SECTIONS, Fact, Grammar
from training.report.network import CHECKPOINT, PACK, Coder, Decoder, load, save
from training.report.score import Tally
from training.report.train import Features, collate, loss_of, sample
from training.report.truth import compared, statements


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
        more = ("image_quality", *draw(rng, "image_quality")[1:], None, ["The"] * 9)
        with torch.no_grad():
            tokens, *rest = collate([one], coder)
            alone = network(tokens[:, :3], *rest)
            tokens, *rest = collate([one, more], coder)
            together = network(tokens[:, :3], *rest)
        torch.testing.assert_close(alone[0], together[0], atol=1e-5, rtol=1e-4)

    def test_the_shipped_decoder_is_in_the_repository(self):
        grammar = Grammar()
        network, facts, scale = load(CHECKPOINT, grammar)
        self.assertIsNone(scale)
        self.assertGreater(facts["steps"], 0)
        stored = quantise.quantise_all({k: v.numpy() for k, v in network.state_dict().items()})
        for name, values in load_file(PACK).items():
            if not name.endswith(".scale"):
                np.testing.assert_allclose(values, stored[name], rtol=1e-6, err_msg=name)

    def test_a_fresh_clone_trains_without_features(self):
        with tempfile.TemporaryDirectory() as folder:
            features = Features(Path(folder, "none"), held_out=False)
            self.assertEqual(features.scans, {})
            rng, grammar = random.Random(1), Grammar()
            batch = collate([sample(rng, grammar, features) for _ in range(3)], Coder(grammar))
            network = Decoder(len(grammar.vocabulary), len(grammar.kinds))
            self.assertGreater(loss_of(network, batch).item(), 0)
            path = Path(folder, "not/there/decoder.safetensors")
            save(path, network, {"steps": 3, "minutes": 0.1})
            again, facts, _ = load(path, grammar)
            self.assertEqual(facts["steps"], 3)
            torch.testing.assert_close(again.token.weight, network.token.weight)

    def test_a_claim_that_comes_twice_in_a_list_is_not_shown(self):
        claim = ("pair", "putamen", "", "even", "")
        tally = Tally()
        tally.add([claim], [[claim, claim]])
        self.assertEqual((tally.shown, tally.unsupported), (0, 1))
        tally.add([claim], [[claim]])
        self.assertEqual(tally.shown, 1)


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
