#!/usr/bin/env python3
"""PyTorch's or JAX's side of the training benchmark, in a process of its own.

    worker.py torch|torch.compile|jax TASK.json --weights FILE --batches FILE [--threads N] [--steps N] [--seconds S]

out: what benchmarks/training/step.c says: losses, first_ms (importing the library left out), min_ms, median_ms, cpu_ms, runs,
     peak_bytes (less what Python and NumPy hold)
"""
import argparse
import importlib
import json
import time

import numpy as np

MODULES = {"torch": "torch_models", "torch.compile": "torch_models", "jax": "jax_models"}
WARM_UP, LEAST_RUNS = 3, 5


def resident_peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def measure(step, first, n_batches, seconds):
    times, processor, i = [], [], first
    for _ in range(WARM_UP):
        step(i % n_batches)
        i += 1
    end = time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or time.perf_counter() < end:
        began, used = time.perf_counter(), time.process_time()
        step(i % n_batches)
        processor.append((time.process_time() - used) * 1e3)
        times.append((time.perf_counter() - began) * 1e3)
        i += 1
    times.sort()
    processor.sort()
    return {"min_ms": times[0], "median_ms": times[len(times) // 2], "cpu_ms": processor[len(processor) // 2], "runs": len(times)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=MODULES)
    parser.add_argument("task")
    parser.add_argument("--weights")
    parser.add_argument("--batches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0)
    args = parser.parse_args()
    base_bytes = resident_peak()
    with open(args.task) as file:
        task = json.load(file)
    batches = np.load(args.batches)
    x, y = batches["x"], batches["y"]
    module = importlib.import_module(MODULES[args.peer])
    if args.peer != "jax":
        module.torch.set_num_threads(args.threads)
        module.torch.set_num_interop_threads(1)
    weights = read_safetensors(args.weights)
    began = time.perf_counter()
    step = module.stepper(task, weights, x, y, args.peer == "torch.compile")
    losses = [step(0)]
    told = {"first_ms": (time.perf_counter() - began) * 1e3}
    losses += [step(i % len(x)) for i in range(1, args.steps)]
    if args.seconds:
        told |= measure(step, args.steps, len(x), args.seconds)
    print(json.dumps({**told, "losses": losses, "peak_bytes": resident_peak() - base_bytes}))


def read_safetensors(path):
    """Arrays by name. The format: length of a header, the header in JSON, the data."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    dtypes = {"F32": np.float32, "F64": np.float64}
    arrays = {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            arrays[name] = np.frombuffer(data[start + begin : start + end], dtypes[about["dtype"]]).reshape(about["shape"])
    return arrays


main()
