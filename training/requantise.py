"""Rounds a pack's weights again as training.quantise does now; network, labels and description stay.

    python -m training.requantise public/packs/brain.safetensors --version 0.3.0 \\
        --checkpoint training/checkpoints/brain2mm.safetensors

The weights are those of the checkpoint, or without one the pack's own. The scores in the pack are dropped: score it
again (training.evaluate, training.labelled), write them in, and bind the heads of training.identify to the new brain
pack.

    python -m training.requantise public/packs/brain.safetensors --scores training/results/brain.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file

from training import pack

OWN = ("schema", "architecture", "sha256")  # pack.write sets these


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--version")
    parser.add_argument("--scores", type=Path, help="write these into the pack and leave the rest as it is")
    parser.add_argument("--checkpoint", type=Path, help="float weights of the same training step")
    arguments = parser.parse_args()
    if arguments.scores:
        scored = json.loads(arguments.scores.read_text())
        if scored["sha256"] != pack.document(arguments.pack)["sha256"]:
            raise SystemExit(f"{arguments.scores}: of another pack, {scored['sha256'][:12]}")
        pack.describe(arguments.pack, "prism", scores=scored["summary"])
        return
    if not arguments.version:
        parser.error("--version says what the pack is called from now on")
    network, document = pack.read(arguments.pack)
    if arguments.checkpoint:
        wanted, found = network.state_dict(), load_file(arguments.checkpoint)
        if missing := wanted.keys() - found.keys():
            raise SystemExit(f"{arguments.checkpoint}: not in it: {', '.join(sorted(missing))}")
        network.load_state_dict({name: found[name].float() for name in wanted})
    described = {key: value for key, value in document.items() if key not in OWN}
    before = arguments.pack.stat().st_size
    size = pack.write(arguments.pack, network, described | {"version": arguments.version, "scores": {}})
    print(f"{arguments.pack}: {before} bytes before, {size} now")


if __name__ == "__main__":
    main()
