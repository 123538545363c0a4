"""Interrupted runs end where uninterrupted ones do, and exports are read as checkpoints are."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file

from training import checkpoint, pretrain, timing, train
from training.model import HeadConfig, Network, NetworkConfig
from training.pretraining.networks import Pretraining

CHANNELS = {"channels": (4, 4, 8, 8, 8), "convs": (1, 1, 1, 1, 1)}
SMALL = NetworkConfig(**CHANNELS, heads=(HeadConfig("segmentation", "segmentation", classes=3),))
OPTIMISER = {"name": "muon", "relative_lr": 0.02, "momentum": 0.95, "lr": 1e-3, "weight_decay": 0.01}
TRAIN = {
    "seed": 3, "steps": 6, "average": 0.9, "background_share": 0.5, "dice_weight": 1.0, "workers": 0, "log_every": 2,
    "score_every": 3, "save_every": 100, "bf16": False, "optimiser": {**OPTIMISER, "warmup": 2, "decay": 1.0},
}  # fmt: skip
PRETRAIN = {
    "seed": 3, "steps": 6, "batch": 2, "warmup": 2, "clip": 5.0, "workers": 0, "log_every": 2, "save_every": 100,
    "optimiser": OPTIMISER,
    "weights": {"reconstruction": 10.0, "parameters": 1.0, "body": 1.0, "contrastive": 0.5, "adversarial": 0.1},
}  # fmt: skip


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return timing.LAST_STEP

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(1, 32, 32, 32, generator=generator)
        target = (image[0] * 3).to(torch.uint8)
        half, quarter = target[::2, ::2, ::2].contiguous(), target[::4, ::4, ::4].contiguous()
        return {"image": image, "target": target, "target_half": half, "target_quarter": quarter}


class Pairs(Samples):
    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(2, 1, 32, 32, 32, generator=generator)
        return {"image": image, "parameters": torch.rand(2, 3, generator=generator), "part": torch.arange(2)}


class Score:
    def score(self, model, device):
        return {"mean": 0.5}


def trained(run: Path, stop_at: int = -1, **changes) -> dict:
    run.mkdir(exist_ok=True)
    with mock.patch.object(train, "task_of", lambda *_: (SMALL, Samples(), Score())):
        train.train({**TRAIN, **changes}, run, Path(), Path(), "cpu", stop_at)
    return checkpoint.load(run)


def pretrained(run: Path, stop_at: int = -1, **changes) -> dict:
    run.mkdir(exist_ok=True)
    with mock.patch.object(pretrain, "NetworkConfig", lambda: NetworkConfig(**CHANNELS)):
        pretrain.train({**PRETRAIN, **changes}, run, Pairs(), "cpu", stop_at)
    return checkpoint.load(run)


class Resume(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self.addCleanup(torch.set_num_threads, threads)

    def same(self, run, part: str):
        whole = run(self.folder / "whole")
        run(self.folder / "parts", stop_at=3)
        parts = run(self.folder / "parts")
        self.assertEqual((whole["step"], parts["step"]), (6, 6))
        for name, value in whole[part].items():
            self.assertTrue(torch.equal(value, parts[part][name]), name)
        return whole

    def test_six_steps_are_three_and_three(self):
        state = self.same(trained, "average")
        start = Network(SMALL).state_dict()
        self.assertFalse(torch.equal(state["average"]["encoder.stem.conv.weight"], start["encoder.stem.conv.weight"]))

    def test_so_are_those_of_the_pretraining(self):
        self.same(pretrained, "model")

    def test_a_finished_run_is_told_so(self):
        for run in (trained, pretrained):
            folder = self.folder / run.__name__
            run(folder, steps=1)
            self.assertTrue(checkpoint.finished(folder, 1))
            self.assertFalse(checkpoint.finished(folder, 2))
            with self.assertRaisesRegex(SystemExit, "step 1 of 1"):
                run(folder, steps=1)

    def test_a_start_makes_all_its_steps_more(self):
        first = pretrained(self.folder / "first", steps=2)
        further = pretrained(self.folder / "second", steps=1, start_from=str(self.folder / "first"))
        self.assertEqual((further["step"], further["first"]), (3, 2))
        self.assertGreater(further["seconds"], first["seconds"])

    def test_a_batch_is_the_mean_over_its_samples(self):
        torch.manual_seed(0)
        network, auxiliary, samples = Network(SMALL), train.Auxiliary(SMALL), Samples()
        config = {**TRAIN, "background_share": 1.0}
        loss = lambda *indices: float(  # noqa: E731
            train.training_loss(network, auxiliary, [samples[i] for i in indices], config, None, "cpu")[0].detach()
        )
        self.assertAlmostEqual(loss(1, 2), (loss(1) + loss(2)) / 2, places=4)
        self.assertNotAlmostEqual(loss(1), loss(2), places=5)
        self.assertEqual(len(train.Batches(samples, 2)[5]), 2)
        self.assertTrue(torch.equal(train.Batches(samples, 2)[5][1]["image"], samples[11]["image"]))

    def test_auxiliary_heads_begin_at_zero_in_either_start(self):
        # Rates of zero: what is saved is what was begun with.
        still = {"steps": 1, "optimiser": {**TRAIN["optimiser"], "relative_lr": 0.0, "lr": 0.0}}
        state = trained(self.folder / "random", **still)
        self.assertTrue(any(v.any() for v in state["auxiliary"].values()))
        state = trained(self.folder / "zero", auxiliary_at_zero=True, **still)
        self.assertFalse(any(v.any() for v in state["auxiliary"].values()))

    def test_nothing_is_compiled_on_the_cpu_and_a_failure_is_survived(self):
        network = Network(SMALL)
        with mock.patch.object(train.nn.Module, "compile") as called:
            self.assertFalse(train.compiled(network, [32] * 3, "cpu"))
            called.assert_not_called()
        failing = mock.patch.object(train, "decode", side_effect=RuntimeError("no compiler here"))
        with failing, mock.patch("builtins.print") as said:
            self.assertFalse(train.compiled(network, [32] * 3, "cuda"))
        self.assertIn("torch.compile failed", said.call_args.args[0])
        self.assertEqual(network.features(torch.rand(1, 1, 32, 32, 32))["structure"].shape[1], 8)

    def test_minutes_end_the_run_and_stay_in_the_checkpoint(self):
        state = trained(self.folder / "timed", minutes=0.001, steps=1_000_000)
        self.assertGreaterEqual(state["seconds"], 0.06)
        self.assertEqual(state["timed"], {"minutes": 0.001, "begin": 0.0, "end": 0.06})
        start = json.loads((self.folder / "timed" / "log.jsonl").read_text().split("\n", 1)[0])
        self.assertEqual(start["timed"], state["timed"])

    def test_a_resumed_run_keeps_its_plan(self):
        for run in (trained, pretrained):
            folder = self.folder / f"{run.__name__}-plan"
            run(folder, stop_at=1, minutes=10)
            state = run(folder, stop_at=2, minutes=10)
            self.assertEqual((state["step"], state["timed"]), (2, {"minutes": 10, "begin": 0.0, "end": 600.0}))


class Schedules(unittest.TestCase):
    def test_an_interrupted_plan_goes_on(self):
        begun = timing.plan(10, 0.0, None)
        self.assertEqual(begun, {"minutes": 10, "begin": 0.0, "end": 600.0})
        self.assertEqual(timing.plan(10, 300.0, begun), begun)
        # Other minutes, or a plan that has ended: from here on.
        self.assertEqual(timing.plan(5, 300.0, begun)["end"], 600.0)
        self.assertEqual(timing.plan(5, 300.0, begun)["begin"], 300.0)
        self.assertEqual(timing.plan(10, 600.0, begun)["end"], 1200.0)
        self.assertIsNone(timing.plan(None, 300.0, begun))

    def test_rates_follow_the_training_seconds(self):
        config = {"steps": 100, "optimiser": {"warmup": 1, "decay": 1.0}}
        timed = timing.plan(10, 100.0, None)
        for spent, factor in ((100.0, 1.0), (400.0, 0.5), (640.0, 0.1), (700.0, 0.02), (900.0, 0.02)):
            self.assertAlmostEqual(train.schedule(config, 50, timed, spent), factor)
        self.assertAlmostEqual(train.schedule(config, 75), 0.25)
        config = {"steps": 100, "warmup": 1}
        for spent, factor in ((100.0, 1.0), (400.0, 0.5), (700.0, 0.0)):
            self.assertAlmostEqual(pretrain.rate(config, 50, timed, spent), factor)
        self.assertAlmostEqual(pretrain.rate(config, 50), 0.5)

    def test_overrides_are_toml(self):
        config = {"optimiser": {"lr": 1.0}}
        train.override(config, ["optimiser.lr=0.5", 'start_from="here"'])
        self.assertEqual(config, {"optimiser": {"lr": 0.5}, "start_from": "here"})
        for wrong in ("steps", "nowhere.lr=1", "start_from=here", "optimiser.lr.x=1"):
            with self.assertRaisesRegex(SystemExit, "--set"):
                train.override(config, [wrong])


class Checkpoints(unittest.TestCase):
    def test_exports_read_as_checkpoints(self):
        network = Network(SMALL)
        weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
        extra = {f"auxiliary.{name}": value.half() for name, value in train.Auxiliary(SMALL).state_dict().items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "half.safetensors"
            save_file(weights | extra, path, {"step": "7", "seconds": "90", "seed": "3"})
            state = checkpoint.load(path)
            self.assertEqual((state["step"], state["seconds"], state["seed"], state["before"]["steps"]), (7, 90.0, 3, 0))
            self.assertEqual(state["average"].keys(), weights.keys())
            self.assertEqual(sorted(state["auxiliary"]), ["level1.bias", "level1.weight", "level2.bias", "level2.weight"])
            given, auxiliary, steps, _ = train.earlier(str(path), "cpu")
            train.load_matching(network, given)
            self.assertEqual((steps, len(auxiliary)), (7, 4))
            whole = {"average": network.state_dict(), "step": 7, "seconds": 9.0, "before": {"steps": 5, "seconds": 1.0}}
            torch.save(whole, path.with_suffix(".pt"))
            self.assertEqual(train.earlier(str(path.with_suffix(".pt")), "cpu")[1:], (None, 12, 10.0))
            with self.assertRaisesRegex(SystemExit, "no such checkpoint"):
                checkpoint.load(folder)

    def test_those_of_the_pretraining_too(self):
        from training.pretraining.export import save_half, seed_of

        model = Pretraining(NetworkConfig(**CHANNELS))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "half.safetensors"
            save_half({"model": model.state_dict(), "step": 7, "seconds": 90.4, "seed": 11}, path)
            state = checkpoint.load(path)
            model.load_state_dict(state["model"])
            self.assertEqual((state["step"], state["seconds"], seed_of(state, path)), (7, 90.0, 11))
            weights, auxiliary, steps, _ = train.earlier(str(path), "cpu")
            self.assertIn("encoder.stem.conv.weight", weights)
            self.assertEqual((auxiliary, steps), (None, 7))


if __name__ == "__main__":
    unittest.main()
