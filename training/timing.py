"""How far a run is: by steps, or by its training seconds where it was given minutes.

Seconds are those that a run has trained, kept in its checkpoint; time between two starts does not count, so that a
run that was interrupted goes on where its rates were.
"""

from __future__ import annotations

LAST_STEP = 10_000_000


def plan(minutes: float | None, seconds: float, before: dict | None) -> dict | None:
    """Begin and end in training seconds; None without `minutes`.

    `before`, the plan in the checkpoint, holds on while it is for as many minutes and has not ended.
    """
    if not minutes:
        return None
    if before and before["minutes"] == minutes and seconds < before["end"]:
        return before
    return {"minutes": minutes, "begin": seconds, "end": seconds + 60 * minutes}


def gone(timed: dict, spent: float) -> float:
    """Share of the plan's time, 0..1."""
    return min(1.0, max(0.0, (spent - timed["begin"]) / (timed["end"] - timed["begin"])))


def left(step: int, end: int, timed: dict | None) -> range:
    """The steps to make; an error where there are none."""
    steps = range(step, LAST_STEP if timed else end)
    if not steps:
        raise SystemExit(
            f"nothing to train: the run is at step {step} of {end}; plan more steps, give --minutes, or name another --run"
        )
    return steps
