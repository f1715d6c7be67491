#!/usr/bin/env python3
"""Batches that can be learnt from, for a task as `build/bench/training MODEL --describe` tells it.

    batches.py TASK.json f32|f64 COUNT OUT.npz

out: x [COUNT, batch, ...] and y [COUNT, batch(, context)]. Vectors and pictures: noise of deviation 1 upon a picture of the
     class, y its class, a fifth of them drawn instead: no loss goes to 0, where relative differences would say nothing.
     Text: a walk whose next token depends on the last two, y the token that follows. A file with a lower COUNT begins
     as one with a higher.
"""
import json
import sys

import numpy as np

SIGNAL = {"vector": 6, "picture": 20}  # the norm of a class's
DRAWN = 0.2
PATCH = 8  # pixels of a picture that have one value


def class_pictures(task, random):
    if not task["blocks"]:
        norm, found = SIGNAL["vector"], random.normal(size=(task["classes"], task["inputs"]))
    else:
        side = task["inputs"] // PATCH
        norm = SIGNAL["picture"]
        found = np.kron(random.normal(size=(task["classes"], 3, side, side)), np.ones((PATCH, PATCH)))
    return norm * found / np.sqrt((found[0] ** 2).sum())


def pictures(task, count, random):
    classes, batch = class_pictures(task, random), task["batch"]
    x, y = [], []
    for _ in range(count):
        seen = random.integers(task["classes"], size=batch)
        x.append(classes[seen] + random.normal(size=(batch, *classes.shape[1:])))
        y.append(np.where(random.random(batch) < DRAWN, random.integers(task["classes"], size=batch), seen))
    return np.array(x, np.float32), np.array(y)


def text(task, count, random):
    """Of each pair of tokens one of four follows, mostly the first."""
    n = task["classes"]
    follows = random.integers(n, size=(n, n, 4))
    choices = random.choice(4, p=(0.7, 0.15, 0.1, 0.05), size=count * task["batch"] * (task["context"] + 1))
    tokens = [0, 1]
    for choice in choices:
        tokens.append(follows[tokens[-2], tokens[-1], choice])
    rows = np.array(tokens[2:]).reshape(count, task["batch"], task["context"] + 1)
    return rows[:, :, :-1], rows[:, :, 1:]


def main():
    with open(sys.argv[1]) as file:
        task = json.load(file)
    x, y = (text if task["context"] else pictures)(task, int(sys.argv[3]), np.random.default_rng(7))
    dtype = np.int32 if task["context"] else {"f32": np.float32, "f64": np.float64}[sys.argv[2]]
    np.savez(sys.argv[4], x=x.astype(dtype), y=y.astype(np.int32))


main()
