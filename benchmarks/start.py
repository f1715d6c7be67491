#!/usr/bin/env python3
"""From the start of a process to its first output: `make bench-start`, with BENCH_ARGS for what follows.

    start.py [MODEL...] [--rounds 11] [--out FILE]

MODEL is the name of a row of models.py that has one input and one output of floats, or a pattern with *. Each measurement
is a process of its own on one core; the programs take turns. It begins when the process is asked for and ends when the
first output is in its memory; all files are in the system's cache. The first run of each program does not count: it
fills caches, Tenon's of compiled programs among them.
"""
import argparse
import fnmatch
import glob
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import machine
import measure
import models
import places

HERE = os.path.dirname(os.path.abspath(__file__))
CNNS = ["ds_cnn", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0", "resnet18", "densenet121", "resnet50"]
TOLERANCE = 1e-3  # of the largest of the values that are compared


def ort_library():
    """ONNX Runtime's shared library, which its Python package brings."""
    spec = importlib.util.find_spec("onnxruntime")
    found = glob.glob(os.path.join(os.path.dirname(spec.origin), "capi", "libonnxruntime.so*")) if spec else []
    return found[0] if found else None


def programs(cache):
    """Name, command and environment of each."""
    tenon = os.path.join(places.BUILD, "bench", "start-tenon")
    ort = os.path.join(places.BUILD, "bench", "start-ort")
    without = {k: v for k, v in os.environ.items() if k != "TENON_CACHE_DIR"}
    yield "tenon", [tenon], {**without, "TENON_CACHE_DIR": cache}
    yield "tenon, compiling", [tenon], without
    if ort_library():
        yield "onnxruntime, C", [ort], {**without, "ORT_LIBRARY": ort_library()}
        yield "onnxruntime, Python", [sys.executable, os.path.join(HERE, "start", "ort.py")], without


def arguments(row, folder):
    """What start.h says, with the row's input as a file of floats."""
    import numpy as np

    with open(places.row_file(row)) as file:
        files = json.load(file)
    (name, path), output = files["inputs"][0], files["outputs"][0]
    data = np.load(path)
    raw = os.path.join(folder, row + ".raw")
    data.astype(np.float32).tofile(raw)
    return [files["model"], name, "x".join(map(str, data.shape)), raw, output]


def run(command, environment):
    """Milliseconds and the first values."""
    begin = time.monotonic_ns()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=measure.pin(1))
    if done.returncode:
        sys.exit(f"start: {command[0]}: {done.stderr.strip()}")
    end, *values = done.stdout.split()
    return (int(end) - begin) / 1e6, [float(v) for v in values[:4]]


def measure_row(row, rounds, folder):
    given = arguments(row, folder)
    all_programs = list(programs(os.path.join(folder, "cache")))
    times, values = {name: [] for name, _, _ in all_programs}, {}
    for number in range(rounds + 1):
        for name, command, environment in all_programs:
            milliseconds, values[name] = run(command + given, environment)
            if number:
                times[name].append(milliseconds)
    largest = max(abs(v) for v in values["tenon"])
    for name in values:
        if any(abs(a - b) > TOLERANCE * largest for a, b in zip(values["tenon"], values[name])):
            sys.exit(f"start: {row}: {name} computes {values[name]}, tenon {values['tenon']}")
    return {name: {"median_ms": statistics.median(t), "min_ms": min(t)} for name, t in times.items()}


def print_table(results):
    names = list(next(iter(results.values())))
    print("| ms to the first output | " + " | ".join(names) + " |")
    print("| --- |" + " --: |" * len(names))
    for row, of in results.items():
        print(f"| {models.ROWS[row].title} | " + " | ".join(f"{of[name]['median_ms']:.1f}" for name in names) + " |")


def main():
    parser = argparse.ArgumentParser(prog="start")
    parser.add_argument("models", nargs="*", default=CNNS)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", default=os.path.join(places.RESULTS, "start.json"))
    args = parser.parse_args()
    rows = [name for name in models.ROWS if any(fnmatch.fnmatchcase(name, p) for p in args.models)]
    rows.sort(key=lambda name: CNNS.index(name) if name in CNNS else len(CNNS))
    folder = tempfile.mkdtemp(prefix="tenon-start-")
    results = {}
    try:
        for row in rows:
            wrong = measure.prepare(models.ROWS[row])
            if wrong:
                sys.exit(f"start: {row}: {wrong}")
            results[row] = measure_row(row, args.rounds, folder)
    finally:
        shutil.rmtree(folder)
    print_table(results)
    os.makedirs(os.path.dirname(args.out), exist_ok=True)
    with open(args.out, "w") as file:
        json.dump({"machine": machine.describe(), "rows": results}, file, indent=1)


main()
