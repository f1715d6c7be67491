#!/usr/bin/env python3
"""Training beside PyTorch and JAX: `make bench-training`, with BENCH_ARGS for what follows.

    training.py [MODEL...] [--peers a,b] [--threads 1,2] [--rounds 3] [--seconds 3] [--no-curves] [--fresh] [--docs] [--note TEXT] [--out DIR]

MODEL is mlp, gpt or resnet18. Two things are measured: losses of the same steps (same weights, same batches) by Tenon
and PyTorch, in f64 and f32, and how long a step takes beside all peers. Each measurement is a process of its own on the
same cores; peers take turns in an order that changes from round to round. What is measured is kept: the same call goes
on where it was stopped. --docs writes the results into docs/ too.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import types

import machine
import measure
import places
import store
import training_report

MODELS = ("mlp", "gpt", "resnet18")
PEERS = ("tenon", "torch", "torch.compile", "jax")
CURVES = {"f64": 50, "f32": 200}  # steps, and as many batches
TIMED_BATCHES = 4
PROGRAM = os.path.join(places.BUILD, "bench", "training")
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "training")


def parse():
    parser = argparse.ArgumentParser(prog="training")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--peers", default=",".join(PEERS), help="names with commas between")
    parser.add_argument("--threads", default="1,2", help="numbers with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement, after the warm-up")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds after which a process is ended")
    parser.add_argument("--no-curves", action="store_true", help="times only")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of a run before")
    parser.add_argument("--docs", action="store_true", help="write docs/TRAINING_BENCH.md and its pictures")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the results' head")
    parser.add_argument("--out", default=os.path.join(places.BUILD, "training-results"), help="folder of the results")
    args = parser.parse_args()
    args.models = args.models or list(MODELS)
    args.peers, args.threads = args.peers.split(","), [int(n) for n in args.threads.split(",")]
    for name, known in [(m, MODELS) for m in args.models] + [(p, PEERS) for p in args.peers]:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    if max(args.threads) > len(machine.cores()):
        parser.error(f"{max(args.threads)} threads, but only {len(machine.cores())} CPUs to run on")
    return args


# ---- Files -----------------------------------------------------------------------------------


def file_of(args, model, ending):
    return os.path.join(args.out, model + ending)


def prepare(args, model):
    """Sizes, first weights and batches: TASK.json, -DTYPE.safetensors and -DTYPE-COUNT.npz."""
    task = subprocess.run([PROGRAM, model, "--describe"], capture_output=True, text=True, check=True).stdout
    with open(file_of(args, model, ".json"), "w") as file:
        file.write(task)
    for dtype in CURVES:
        subprocess.run([PROGRAM, model, "--dtype", dtype, "--save", file_of(args, model, f"-{dtype}.safetensors")], check=True)
    for dtype, count in [*CURVES.items(), ("f32", TIMED_BATCHES)]:
        subprocess.run([sys.executable, os.path.join(HERE, "batches.py"), file_of(args, model, ".json"), dtype, str(count),
                        file_of(args, model, f"-{dtype}-{count}.npz")], check=True)


# ---- Processes -------------------------------------------------------------------------------


def call(args, peer, model, dtype, threads, steps, seconds):
    """What one process says, or {"error": why}."""
    if peer == "tenon":
        command = [PROGRAM, model, "--dtype", dtype, "--unguarded"]
    else:
        command = [sys.executable, os.path.join(HERE, "worker.py"), peer, file_of(args, model, ".json")]
    command += ["--weights", file_of(args, model, f"-{dtype}.safetensors"), "--batches",
                file_of(args, model, f"-{dtype}-{TIMED_BATCHES if seconds else steps}.npz")]
    command += ["--threads", str(threads), "--steps", str(steps)] + (["--seconds", str(seconds)] if seconds else [])
    row = types.SimpleNamespace(name=model)
    try:
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=measure.pin(threads), timeout=args.timeout,
                              env=measure.environment(args, row, threads))
    except subprocess.TimeoutExpired:
        return {"error": f"took over {args.timeout:.0f} s"}
    if done.returncode:
        return {"error": measure.why(done.stderr) or f"exit status {done.returncode}"}
    return json.loads(measure.last_line(done.stdout))


def measure_curves(args, kept):
    for model in args.models:
        for dtype, steps in CURVES.items():
            for peer in ("tenon", "torch"):
                key = ("curve", model, dtype, peer)
                if kept.get(key) is None:
                    print(f"{model}, {steps} steps in {dtype}: {peer}", file=sys.stderr, flush=True)
                    kept.add(key, call(args, peer, model, dtype, max(args.threads), steps, 0))


def measure_round(args, kept, model, threads, round_number):
    order = list(args.peers)
    random.Random(f"{model} {threads} {round_number}").shuffle(order)
    for peer in order:
        key = ("time", model, threads, peer, round_number)
        if kept.get(key):
            continue
        if round_number == 0 and peer == "torch.compile":
            shutil.rmtree(measure.compile_cache(args, types.SimpleNamespace(name=model), threads), ignore_errors=True)
        result = call(args, peer, model, "f32", threads, 1, args.seconds)
        kept.add(key, result)
        told = f"{result['median_ms']:.2f} ms" if "median_ms" in result else result["error"]
        print(f"{model}, {threads} threads, round {round_number + 1}: {peer} {told}", file=sys.stderr, flush=True)


def header(args):
    versions = machine.versions()
    with open(PROGRAM, "rb") as file:
        versions["tenon_program"] = hashlib.sha256(file.read()).hexdigest()[:16]
    return {"machine": machine.describe(), "versions": versions, "rounds": args.rounds, "seconds": args.seconds}


def main():
    args = parse()
    os.makedirs(args.out, exist_ok=True)
    about = header(args)
    kept = store.open_store(os.path.join(args.out, "runs.jsonl"), about, args.fresh)
    for model in args.models:
        prepare(args, model)
    try:
        if not args.no_curves:
            measure_curves(args, kept)
        for threads in args.threads:
            for round_number in range(args.rounds):
                for model in args.models:
                    measure_round(args, kept, model, threads, round_number)
    except KeyboardInterrupt:
        sys.exit("\ntraining: stopped; the same call goes on from here")
    text = training_report.write(args.out, args, kept, about)
    if args.docs:
        training_report.write(os.path.join(places.ROOT, "docs"), args, kept, about)
    print(text)


main()
