#!/usr/bin/env python3
"""Reads the event files of runs with TensorBoard's own EventAccumulator and holds them against metrics.jsonl.

usage: check_tensorboard.py RUN...
Needs PyPI's tensorboard; `.ci/run tensorboard` makes an environment with it.
"""
import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def as_float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def wanted(path):
    """The scalars of a history: {tag: [(step, value)]}."""
    tags, step = {}, 0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        step = row.get("step", step)
        if row["kind"] == "step":
            values = {"train/" + name: row[name] for name in ("loss", "lr", "grad_norm", "accuracy") if name in row}
        else:
            scores = row.get("accuracy", row)
            values = {"accuracy/" + task: of["mean"] for task, of in scores["per_task"].items()}
            values["accuracy/overall"] = scores["overall"]["mean"]
        for tag, value in values.items():
            tags.setdefault(tag, []).append((step, as_float32(value)))
    return tags


def check(run):
    history = wanted(run / "metrics.jsonl")
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    for tag, want in history.items():
        read = events.Scalars(tag)
        if [(e.step, e.value) for e in read] != want:
            sys.exit(f"{run}: TensorBoard reads other values of {tag} than metrics.jsonl holds")
        if any(a.wall_time > b.wall_time for a, b in zip(read, read[1:])):
            sys.exit(f"{run}: the times of {tag} go backwards")
    if not {"train/loss", "train/lr", "train/grad_norm", "accuracy/overall"} <= history.keys():
        sys.exit(f"{run}: metrics.jsonl has only {sorted(history)}")
    print(f"{run}: TensorBoard reads {sum(map(len, history.values()))} values of {len(history)} scalars, all as in "
          "metrics.jsonl")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        check(pathlib.Path(folder))
