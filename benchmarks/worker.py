#!/usr/bin/env python3
"""One measurement of one library in a process of its own.

    worker.py PEER ROW.json --threads N --seconds S [--outputs DIR]

in:  a module of peers/; BENCH_SPAWNED, the monotonic clock when the process was asked for
out: one JSON object: min_ms, median_ms, runs; cold, whether nothing was compiled before; start_ms, from the process's start to the first output without what
     Python and NumPy take; load_ms, from opening the model to the first output less one ordinary run; peak_bytes,
     the most memory resident less that of Python and NumPy; deploy_bytes, shared objects in use and the model
law: nothing is imported before the clock starts but NumPy
"""
import argparse
import importlib
import json
import os
import sys
import time

import numpy as np

WARM_UP_SECONDS, WARM_UP_RUNS, LEAST_RUNS, MOST_RUNS = 0.2, 3, 5, 100_000
# Parts of every Linux system, and of Python, which nobody counts.
NOT_COUNTED = ("/lib/x86_64-linux-gnu/", "/lib/aarch64-linux-gnu/", "libpython", "/lib-dynload/", "/numpy", "libstdc++", "libgcc_s")


def resident_peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def shared_objects():
    """Bytes of the files that are mapped to run code from."""
    with open("/proc/self/maps") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if line.count("/") and " r-xp " in line}
    return sum(os.path.getsize(p) for p in paths if os.path.exists(p) and not any(part in p for part in NOT_COUNTED))


def measure(run, seconds):
    """Times of single runs in milliseconds, ascending, after a warm-up."""
    end, n = time.perf_counter() + WARM_UP_SECONDS, 0
    while n < WARM_UP_RUNS or time.perf_counter() < end:
        run()
        n += 1
    times, end = [], time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or (time.perf_counter() < end and len(times) < MOST_RUNS):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--outputs")
    args = parser.parse_args()
    with open(args.row) as file:
        row = json.load(file)
    inputs = [np.load(path) for _, path in row["inputs"]]
    base_bytes = resident_peak()
    began = time.monotonic()

    from peers import Skip

    try:
        peer = importlib.import_module("peers." + args.peer)
        opened = time.monotonic()
        cold = getattr(peer, "is_cold", lambda: True)()
        run, outputs = peer.load(row, inputs, args.threads)
        run()
    except Skip as skip:
        print(json.dumps({"skip": str(skip)}))
        return
    first = time.monotonic()
    results = outputs()
    if args.outputs:
        os.makedirs(args.outputs, exist_ok=True)
        for i, array in enumerate(results):
            np.save(os.path.join(args.outputs, f"out{i}.npy"), array)
    times = measure(run, args.seconds)
    median = times[len(times) // 2]
    print(json.dumps({
        "min_ms": times[0],
        "median_ms": median,
        "runs": len(times),
        "cold": cold,
        "start_ms": (first - began) * 1e3,
        "load_ms": max((first - opened) * 1e3 - median, 0),
        "python_ms": (began - float(os.environ.get("BENCH_SPAWNED", began))) * 1e3,
        "peak_bytes": resident_peak() - base_bytes,
        "deploy_bytes": shared_objects() + os.path.getsize(row["model"]),
    }))


sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
main()
