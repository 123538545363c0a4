"""Data in shards: no file too large, and what is read is what was packed."""

from __future__ import annotations

import tempfile
import tomllib
import unittest
from pathlib import Path

import nibabel
import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from training import labelled, shards, synth
from training.paths import REPOSITORY
from training.tests import test_synth

LIMIT = 8_000


class Shards(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_files_come_back_and_no_shard_is_too_large(self):
        rng, folder = np.random.default_rng(0), self.folder / "data"
        (folder / "inner").mkdir(parents=True)
        noise = rng.integers(0, 256, 30_000, dtype=np.uint8).tobytes()
        files = {"large.npy": noise, "empty.txt": b"", "inner/small.json": b"{}" * 9, "z:0001": noise[:100]}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        written = shards.pack(folder, self.folder / "copy.shards", LIMIT)
        self.assertGreater(len(written), 3)
        for path in written:
            self.assertLessEqual(path.stat().st_size, LIMIT)
        copy = shards.unpacked(self.folder / "copy")
        found = {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
        self.assertEqual(found, files)
        self.assertEqual([p.name for p in self.folder.iterdir() if "copy." in p.name], ["copy.shards"])

    def test_a_lost_or_changed_shard_is_refused(self):
        folder, packed = self.folder / "data", self.folder / "copy.shards"
        folder.mkdir()
        (folder / "large").write_bytes(np.random.default_rng(0).integers(0, 256, 30_000, dtype=np.uint8).tobytes())
        written = shards.pack(folder, packed, LIMIT)
        stored, about = load_file(written[0]), '{}'
        next(iter(stored.values()))[10] ^= 1
        save_file(stored, written[0], {"files": about})
        with self.assertRaisesRegex(ValueError, "not what was packed"):
            shards.unpacked(self.folder / "copy")
        written[-1].unlink()
        with self.assertRaisesRegex(ValueError, "missing"):
            shards.unpacked(self.folder / "copy")
        self.assertFalse((self.folder / "copy").exists())

    def test_the_brain_is_the_same_from_shards(self):
        cache, priors = test_synth.cache(self.folder / "here")
        there = self.folder / "there"
        for name in ("brain", "self_training", "priors"):
            for path in shards.pack(cache / name, there / f"{name}.shards", LIMIT):
                self.assertLessEqual(path.stat().st_size, LIMIT)
        plan = synth.Plan((32, 32, 32), (1.0, 1.0, 1.0, 1.0, 1.0), 1.0, real=0.3, predicted=0.3)
        here, again = synth.Brain(cache, priors), synth.Brain(there, there / "priors")
        for index in range(4):
            first, second = (synth.synthesise(brain, 1, index, plan) for brain in (here, again))
            for name, value in first.items():
                self.assertTrue(torch.equal(value, second[name]), name)

    def test_so_are_labelled_scans(self):
        data, rng = self.folder / "data" / "scans", np.random.default_rng(0)
        data.mkdir(parents=True)
        for name in ("a", "a_gt", "b", "b_gt"):
            values = rng.random((40, 40, 40)).astype(np.float32) * 3
            values = values.astype(np.uint8) if name.endswith("_gt") else values
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), data / f"{name}.nii.gz")
        for path in shards.pack(data, self.folder / "there" / "scans.shards", 100_000):
            self.assertLessEqual(path.stat().st_size, 100_000)
        config = {"folder": "scans", "seed": 1, "size": [32, 32, 32]}
        config["preprocessing"] = {"orientation": "RAS", "spacing_mm": [1.0] * 3, "intensity": intensity()}
        first, second = (labelled.Samples(config, self.folder / name, 9)[3] for name in ("data", "there"))
        self.assertGreater(int(first["target"].max()), 0)
        for name, value in first.items():
            self.assertTrue(torch.equal(value, second[name]), name)

    def test_what_a_config_reads(self):
        config = lambda name: tomllib.loads((REPOSITORY / f"training/configs/{name}.toml").read_text())  # noqa: E731
        self.assertEqual(shards.folders(config("brain1mm_gpu")), (["brain", "development-1mm"], ["labelmaps_brain/priors"]))
        self.assertIn("self_training", shards.folders(config("brain2mm_self"))[0])
        self.assertEqual(shards.folders(config("hippocampus")), ([], ["hippocampus"]))


def intensity() -> dict:
    return {"rule": "percentile", "low": 0.5, "high": 99.5}


if __name__ == "__main__":
    unittest.main()
