"""What the scoring programs write: figures of every log, whose pack is scored by what, retrieval, means over seeds."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

import numpy as np

from training import ablation, development, evaluate, export, golden, pack, plot, prepare, probes
from training.paths import REPOSITORY
from training.train import Samples

RESULTS = REPOSITORY / "training" / "results"


class Figures(unittest.TestCase):
    def test_every_log_has_its_picture(self):
        drawn = {log: name for name, (_, logs, _) in plot.FIGURES.items() for log in logs}
        logs = {path.stem for path in RESULTS.glob("*.jsonl")}
        self.assertEqual(logs, set(drawn))
        for log, name in drawn.items():
            content = (RESULTS / f"{name}.png").read_bytes()
            self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n", log)

    def test_logs_of_lesions_and_of_the_report_are_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            lesions, report = (Path(folder) / f"{name}.jsonl" for name in ("lesions", "report"))
            train = [{"kind": "train", "step": s, "loss": 1.0, "dice": 0.5, "entropy": 0.1} for s in (1, 2)]
            scored = {"kind": "development", "step": 2, "mean": 0.5, "dice": {"white matter": 0.4, "mass": 0.6}}
            lesions.write_text("".join(json.dumps(line) + "\n" for line in [{"kind": "start", "step": 0}, *train, scored]))
            report.write_text("".join(json.dumps({"step": s, "loss": 1 / s, "minutes": 0.1}) + "\n" for s in (1, 2)))
            self.assertEqual([line["loss"] for line in plot.read_log(report)[0]], [1.0, 0.5])
            self.assertEqual(plot.parts(plot.read_log(lesions)[1][0]), {"white matter": 0.4, "mass": 0.6})
            plot.curves([lesions, lesions], out := Path(folder) / "l.png", "a next run")
            plot.losses(report, other := Path(folder) / "r.png")
            self.assertGreater(min(out.stat().st_size, other.stat().st_size), 1000)


class Dispatch(unittest.TestCase):
    def test_packs_go_to_what_scores_them(self):
        self.assertIsNone(evaluate.scorer({"name": "brain"}))
        self.assertIsNone(evaluate.scorer({"name": "brain-1mm"}))
        for name in ("hippocampus", "cardiac"):
            self.assertEqual(evaluate.scorer({"name": name}), ["training.labelled", "evaluate"])
        self.assertEqual(evaluate.scorer({"name": "lesions"}), ["training.lesions.evaluate"])
        for name in ("pretrained", "brain2mm", "nothing"):
            with self.assertRaisesRegex(SystemExit, name):
                evaluate.scorer({"name": name})

    def test_the_command_hands_on_before_it_scores_anything(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hippocampus.safetensors"
            pack.write(path, golden.tiny_network(), {"name": "hippocampus"})
            argv = ["evaluate", str(path), "--prism", "prism", "--data", "d", "--results", folder]
            done = subprocess.CompletedProcess([], 3)
            with mock.patch.object(sys, "argv", argv), mock.patch.object(evaluate.subprocess, "run", return_value=done) as run:
                with self.assertRaises(SystemExit) as ended:
                    evaluate.main()
            self.assertEqual(ended.exception.code, 3)
            words = [str(word) for word in run.call_args.args[0]]
            self.assertEqual(words[1:5], ["-m", "training.labelled", "evaluate", str(path)])
            self.assertEqual(words[5:], ["--prism", "prism", "--data", "d", "--results", folder])
            self.assertEqual([p.name for p in Path(folder).iterdir()], [path.name])

    def test_figures_of_the_float_weights_stay_with_their_pack(self):
        with tempfile.TemporaryDirectory() as folder:
            before = Path(folder) / "brain.json"
            self.assertEqual(evaluate.beside(before, "a"), {})
            summary = {"mean_dice": 0.8, "pytorch_int8_mean_dice": 0.79, "int8_minus_float32": -0.01}
            before.write_text(json.dumps({"sha256": "a", "summary": summary}))
            kept = {"pytorch_int8_mean_dice": 0.79, "int8_minus_float32": -0.01}
            self.assertEqual(evaluate.beside(before, "a"), kept)
            self.assertEqual(evaluate.beside(before, "b"), {})


class Probing(unittest.TestCase):
    def test_the_same_kind_is_no_candidate(self):
        # Two people in T1w twice and FLAIR: the second T1w is nearest, the FLAIR of "b" lies with "a".
        values = np.array([[1, 0.1], [1, 0], [0.9, 0.2], [-1, 0.1], [-1, 0], [0.95, -0.1], [0.2, 1.0]])
        subjects, kinds = np.array([*"aaabbbc"]), np.array([0, 0, 2, 0, 0, 2, 0])
        names = ["a1", "a2", "af", "b1", "b2", "bf", "c1"]
        result = probes.retrieval(values, subjects, kinds, names)
        for name in ("a1", "a2", "b1", "b2"):
            self.assertIn(result["found"][name], ("af", "bf"))
        for name in ("af", "bf"):
            self.assertIn(result["found"][name], ("a1", "a2", "b1", "b2", "c1"))
        self.assertNotIn("c1", result["found"])
        self.assertEqual(set(result["by person"]), {"a", "b"})
        hits = sum(result["found"][name][0] == name[0] for name in result["found"])
        self.assertEqual(result["same person nearest"], round(hits / 6, 4))
        # T1w have two candidates, one of their own; FLAIR five, two of their own.
        self.assertEqual(result["same person: chance"], round((4 * 1 / 2 + 2 * 2 / 5) / 6, 4))

    def test_only_the_retrieval_is_renewed(self):
        known = {"step": 5, "real scans": {"scans": 7, "same person: chance": 0.1}}
        for name in probes.VECTORS:
            known["real scans"][f"{name} feature"] = {"sequence accuracy": 0.5, "same person nearest": 0.9}
        given = {f"{name} feature": {"same person nearest": 0.4, "same person: chance": 0.2} for name in probes.VECTORS}
        result = probes.renewed(known, given)
        self.assertNotIn("same person: chance", result["real scans"])
        row = {"sequence accuracy": 0.5, "same person nearest": 0.4, "same person: chance": 0.2}
        self.assertEqual(result["real scans"]["structure feature"], row)
        self.assertEqual(result["step"], 5)


class Ablation(unittest.TestCase):
    def test_mean_and_spread_over_seeds(self):
        runs = [{"start": s, "steps": 30, "seed": n, "mean": m} for s, n, m in
                (("scratch", 1, 0.2), ("scratch", 2, 0.4), ("pretrained", 1, 0.5))]  # fmt: skip
        first, second = ablation.over_seeds(runs)
        self.assertEqual((first["mean"], first["deviation"], first["lowest"], first["highest"]), (0.3, 0.1414, 0.2, 0.4))
        self.assertEqual((second["seeds"], second["mean"], second["deviation"]), (1, 0.5, 0.0))

    def test_both_arms_differ_in_their_start_only(self):
        first, second = (ablation.settings_of(source, 40, 3) for source in ("", "weights.pt"))
        self.assertEqual(first[1:], second[1:])
        self.assertNotEqual(first[0], second[0])
        self.assertTrue({"auxiliary_at_zero=true", "seed=3"} <= set(first))


def config(name: str) -> dict:
    return tomllib.loads((REPOSITORY / f"training/configs/{name}.toml").read_text())


class Configs(unittest.TestCase):
    def test_the_control_differs_in_real_heads_only(self):
        control, phase = config("brain2mm_control"), config("brain2mm_self")
        self.assertEqual(control.pop("self_training"), {"real": 0.0, "predicted": 0.0})
        self.assertGreater(phase.pop("self_training")["real"], 0)
        control.pop("name"), phase.pop("name")
        self.assertEqual(control, phase)

    def test_one_millimetre_reaches_samples_scores_and_pack(self):
        fine = config("brain1mm_gpu")
        samples = Samples(fine, Path(), Path())
        plans = [samples.plan(index) for index in range(6)]
        self.assertEqual({plan.spacing for plan in plans}, {1.0})
        for first, second in zip(plans[::2], plans[1::2]):
            self.assertEqual(first, second)  # of one step
        self.assertEqual(Samples(config("brain2mm"), Path(), Path()).plan(0).spacing, 2.0)
        told = export.task_description(fine)
        self.assertEqual(told["preprocessing"]["spacing_mm"], [1.0] * 3)
        self.assertEqual(told["preprocessing"]["window"], fine["window"])
        self.assertIn("(1 mm)", told["title"])
        coarse = export.task_description(config("brain2mm"))
        self.assertEqual((coarse["name"], coarse["preprocessing"]), ("brain", prepare.PREPROCESSING))
        self.assertNotEqual(told["name"], coarse["name"])
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(SystemExit, "--spacing 1"):
            development.Development(Path(folder), 1.0)

    def test_the_log_says_on_what_a_pack_was_trained(self):
        self.assertEqual(export.hardware({}), "2 shared CPU cores")
        self.assertEqual(export.hardware({"device": "NVIDIA X"}), "NVIDIA X")


if __name__ == "__main__":
    unittest.main()
