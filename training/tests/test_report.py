"""Checks of the report decoder's facts and wording."""

import random
import unittest

import torch

from training.report.facts import draw
from training.report.grammar import SECTIONS, Fact, Grammar
from training.report.network import Coder, Decoder
from training.report.train import collate


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


if __name__ == "__main__":
    unittest.main()
