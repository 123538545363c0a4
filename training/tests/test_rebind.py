"""Heads are bound to a pack rounded again only where it is the same network and they answer the same."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from training import golden, pack, quantise
from training.identification import rebind
from training.paths import REPOSITORY

HEADS = REPOSITORY / "public/packs/identify.safetensors"


class Rebind(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        torch.manual_seed(3)
        self.network = golden.tiny_network()
        self.old = self.written("old", {})

    def written(self, name: str, patched: dict) -> Path:
        path = Path(self.folder.name) / f"{name}.safetensors"
        with mock.patch.multiple(quantise, **{"MOST": quantise.MOST, **patched}):
            pack.write(path, self.network, {"name": "tiny", "preprocessing": {"spacing_mm": [2, 2, 2]}})
        return path

    def test_rounding_again_is_the_same_network(self):
        coarse = self.written("coarse", {"MOST_FROM": {0: 31}})
        self.assertNotEqual(pack.document(self.old)["sha256"], pack.document(coarse)["sha256"])
        self.assertIsNone(rebind.same_network(self.old, coarse))

    def test_another_network_is_refused(self):
        name, weight = next((n, w) for n, w in self.network.named_parameters() if quantise.is_quantised(n, w.numpy(force=True)))
        with torch.no_grad():
            weight[0] *= 1.1
        self.assertIn(name, rebind.same_network(self.old, self.written("other", {"MOST_FROM": {0: 31}})))

    def test_nothing_is_written_when_an_answer_differs(self):
        heads, results = Path(self.folder.name) / "heads.safetensors", Path(self.folder.name) / "results.json"
        heads.write_bytes(HEADS.read_bytes())
        pack.describe(heads, "prism_heads", encoder={"name": "tiny", "sha256": pack.document(self.old)["sha256"]})
        results.write_text('{"kept": 1}')
        before, new = heads.read_bytes(), self.written("coarse", {"MOST_FROM": {0: 31}})
        found = {"from": "a", "to": "b", "answers": 2, "equal answers": 1, "other": [{"scan": "one"}]}
        with mock.patch.object(rebind, "compare", return_value=dict(found)):
            with self.assertRaises(SystemExit):
                rebind.rebind(heads, results, self.old, new, [], rebind.Words([], {}))
        self.assertEqual(heads.read_bytes(), before)
        self.assertEqual(json.loads(results.read_text()), {"kept": 1})
        with mock.patch.object(rebind, "compare", return_value=found | {"equal answers": 2, "other": []}):
            rebind.rebind(heads, results, self.old, new, [], rebind.Words([{"name": "some data"}], {"age": "None."}))
        document, stored = rebind.read(heads)
        self.assertEqual(stored["age"].info["caution"], "None.")
        self.assertIn("Learnt from", stored["sex"].info["caution"])
        self.assertEqual(document["encoder"]["sha256"], pack.document(new)["sha256"])
        self.assertEqual(document["provenance"]["data"], [{"name": "some data"}])
        self.assertEqual(json.loads(results.read_text())["requantised"]["equal answers"], 2)
        # Bound to the new pack now, no longer to the old one.
        with self.assertRaises(SystemExit):
            rebind.rebind(heads, results, self.old, new, [], rebind.Words([], {}))

    def test_answers_are_those_of_the_golden_file(self):
        _, heads = rebind.read(HEADS)
        for case in json.loads((REPOSITORY / "tests/golden/identify/answers.json").read_text()):
            found = {name: np.array(values) for name, values in case["vectors"].items()}
            for head, expected in case["heads"].items():
                self.assertEqual(heads[head].answer(found), expected["given"], case["name"])


if __name__ == "__main__":
    unittest.main()
