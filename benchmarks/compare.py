#!/usr/bin/env python3
"""Compares Tenon with ONNX Runtime on the test models: `make bench`.

    compare.py [--threads N] [--seconds S] [--rounds R] [MODEL...]

Each measurement is a process of its own, rounds of the two alternate, both run the same file at the same
sizes with the same number of threads in f32. Prints minimum and median milliseconds of the best round, and
the ratio of the medians (under 1: Tenon is faster). --json prints one object instead of a table.
"""
import argparse
import json
import subprocess
import sys
import time

# Models and the sizes of their symbols; a model's own symbols are named as in its file.
MODELS = {
    "light_resnet50": {},
    "light_squeezenet": {},
    "light_densenet121": {},
    "ch_PP-OCRv4_rec_infer": {"p2o.DynamicDimension.0": 1, "p2o.DynamicDimension.1": 320},
    "ch_PP-OCRv4_det_infer": {"p2o.DynamicDimension.0": 1, "p2o.DynamicDimension.1": 320, "p2o.DynamicDimension.2": 320},
    "mtcnn_pnet": {"N": 1, "M1": 240, "M2": 320},
    "silero_vad_openvino_16k": {},
    "paraphrase-MiniLM-L3-v2": {"batch_size": 1, "sequence_length": 128},
    "magika_model": {"unk__214": 1},
}
# An axis without a name that is not the number 1.
UNNAMED = {"ch_PP-OCRv4_rec_infer": {2: 48}}


def measure_peer(model, threads, seconds):
    """Runs in a process of its own: ONNX Runtime on random inputs."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    began = time.perf_counter()
    session = ort.InferenceSession(f"build/models/{model}.onnx", options, providers=["CPUExecutionProvider"])
    compile_ms = (time.perf_counter() - began) * 1e3
    rng = np.random.default_rng(0)
    feed = {}
    for node in session.get_inputs():
        shape = [
            d if isinstance(d, int) else MODELS[model].get(d, UNNAMED.get(model, {}).get(axis, 1))
            for axis, d in enumerate(node.shape)
        ]
        if node.type == "tensor(float)":
            feed[node.name] = rng.uniform(-1, 1, shape).astype(np.float32)
        else:
            feed[node.name] = np.ones(shape, np.int64 if node.type == "tensor(int64)" else np.int32)
    for _ in range(3):
        session.run(None, feed)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        began = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    print(json.dumps({"min_ms": times[0], "median_ms": times[len(times) // 2], "compile_ms": compile_ms}))


def measure_tenon(model, threads, seconds):
    command = ["build/tenon", "bench", f"build/models/{model}.onnx", "--json"]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    for symbol, value in MODELS[model].items():
        command += ["--set", f"{symbol}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout)


def best(rounds):
    return min(rounds, key=lambda r: r["median_ms"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        measure_peer(args.models[0], args.threads, args.seconds)
        return
    table = []
    for model in args.models:
        peer, own, why = [], [], None
        for _ in range(args.rounds):
            command = [sys.executable, __file__, "--peer", model, "--threads", str(args.threads), "--seconds", str(args.seconds)]
            peer.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            try:
                own.append(measure_tenon(model, args.threads, args.seconds))
            except (RuntimeError, OSError, json.JSONDecodeError) as error:
                why = str(error)
                break
        row = {"model": model, "onnxruntime": best(peer)}
        if why:
            row["error"] = why
        else:
            row["tenon"] = best(own)
            row["ratio"] = row["tenon"]["median_ms"] / row["onnxruntime"]["median_ms"]
        table.append(row)
        if not args.json:
            show(row)
    if args.json:
        print(json.dumps({"threads": args.threads, "models": table}, indent=1))


def show(row):
    peer = row["onnxruntime"]
    line = f"{row['model']:26} onnxruntime {peer['min_ms']:9.3f} {peer['median_ms']:9.3f} ms"
    if "error" in row:
        print(f"{line}   tenon: {row['error']}", flush=True)
    else:
        own = row["tenon"]
        print(f"{line}   tenon {own['min_ms']:9.3f} {own['median_ms']:9.3f} ms   ratio {row['ratio']:6.2f}", flush=True)


main()
