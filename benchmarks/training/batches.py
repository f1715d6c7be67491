#!/usr/bin/env python3
"""Batches that can be learnt from, for a task as `build/bench/training MODEL --describe` tells it.

    batches.py TASK.json f32|f64 OUT.npz

out: x [COUNT, batch, ...] and y [COUNT, batch(, context)]. Vectors and pictures: noise of deviation 1 upon a faint picture
     of the class, y its class. Text: a walk whose next token depends on the last two, y the token that follows.
"""
import json
import sys

import numpy as np

COUNT = 20
SIGNAL = 4  # the norm of a class's picture


def pictures(task, shape, random):
    classes = random.normal(size=(task["classes"], *shape)) * SIGNAL / np.prod(shape) ** 0.5
    y = random.integers(task["classes"], size=(COUNT, task["batch"]))
    return classes[y] + random.normal(size=(*y.shape, *shape)), y


def text(task, random):
    """Of each pair of tokens one of four follows, mostly the first."""
    n = task["classes"]
    follows = random.integers(n, size=(n, n, 4))
    choices = random.choice(4, p=(0.7, 0.15, 0.1, 0.05), size=COUNT * task["batch"] * (task["context"] + 1))
    tokens = [0, 1]
    for choice in choices:
        tokens.append(follows[tokens[-2], tokens[-1], choice])
    rows = np.array(tokens[2:]).reshape(COUNT, task["batch"], task["context"] + 1)
    return rows[:, :, :-1], rows[:, :, 1:]


def make(task, dtype):
    random = np.random.default_rng(7)
    if task["context"]:
        x, y = text(task, random)
        return x.astype(np.int32), y.astype(np.int32)
    side = task["inputs"]
    x, y = pictures(task, (3, side, side) if task["blocks"] else (side,), random)
    return x.astype(np.float32).astype(dtype), y.astype(np.int32)


def main():
    with open(sys.argv[1]) as file:
        task = json.load(file)
    x, y = make(task, {"f32": np.float32, "f64": np.float64}[sys.argv[2]])
    np.savez(sys.argv[3], x=x, y=y)


if __name__ == "__main__":
    main()
