#!/usr/bin/env python3
"""Whether peers computed the same: agree.py REFERENCE_DIR DIR...

out: one JSON object: for each DIR the largest difference of an output from the reference's, as a part of that
     output's largest number (null: sizes, integers, NaNs or infinities differ); and "flat", whether all numbers of
     each of the reference's outputs are the same, which would prove nothing
"""
import glob
import json
import os
import sys

import numpy as np


def arrays(folder):
    return [np.load(os.path.join(folder, f"out{i}.npy")) for i in range(len(glob.glob(os.path.join(folder, "out*.npy"))))]


def difference(want, got):
    if want.shape != got.shape:
        return None
    if want.dtype.kind != "f":
        return 0.0 if np.array_equal(want, got) else None
    if not (np.isfinite(want).all() and np.isfinite(got).all()):
        return None
    if want.size == 0:
        return 0.0
    scale = np.abs(want).max()
    return float(np.abs(want.astype(np.float64) - got).max() / (scale if scale > 0 else 1))


def worst(want, got):
    if len(want) != len(got):
        return None
    found = [difference(w, g) for w, g in zip(want, got)]
    return None if None in found else max(found, default=0.0)


def main():
    want = arrays(sys.argv[1])
    flat = all(w.size < 2 or np.ptp(w.astype(np.float64)) == 0 for w in want)
    print(json.dumps({"flat": bool(flat), "differences": {d: worst(want, arrays(d)) for d in sys.argv[2:]}}))


main()
