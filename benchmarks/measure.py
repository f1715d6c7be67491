"""Runs one measurement: a peer on a row, in a process pinned to its cores.

out: what worker.py and peers/tenon.py say, or {"error": why} or {"skip": why}
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import machine
import places
from peers import tenon

# Names on the command line and in tables, and the modules of peers/ that worker.py runs; tenon is its own program.
PEERS = {"tenon": None, "onnxruntime": "ort", "openvino": "ov", "torch": "eager", "torch.compile": "compiled", "jax": "xla"}
HERE = os.path.dirname(os.path.abspath(__file__))


def pin(threads):
    """The last CPUs: the first ones have the system's interrupts."""
    return lambda: os.sched_setaffinity(0, machine.cores()[-threads:])


def outputs_folder(args, row, threads, peer):
    return os.path.join(args.out, "outputs", f"{row.name}-{threads}-{peer}")


def compile_cache(args, row, threads):
    """Where torch.compile keeps what it compiled for a row."""
    return os.path.abspath(os.path.join(args.out, "cache", f"{row.name}-{threads}"))


def environment(args, row, threads):
    """Thread counts for libraries that only ask there."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1",
            "TORCHINDUCTOR_CACHE_DIR": compile_cache(args, row, threads), "JAX_PLATFORMS": "cpu", "OPENVINO_TELEMETRY_OPT_OUT": "1",
            "BENCH_SPAWNED": repr(time.monotonic())}


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def why(text):
    """Of what a failed Python process wrote, the last error and what it says."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [i for i, line in enumerate(lines) if re.match(r"[\w.]+(Error|Exception|Unsupported)\b", line)]
    return " ".join(lines[named[-1] if named else -1 :])[:400]


def prepare(row):
    """Makes the row's files; an error message when that fails."""
    done = subprocess.run([sys.executable, os.path.join(HERE, "prepare.py"), row.name], capture_output=True, text=True)
    return None if done.returncode == 0 else "not prepared: " + last_line(done.stderr)[:400]


def run_worker(module, row, threads, args, folder):
    command = [sys.executable, os.path.join(HERE, "worker.py"), module, places.row_file(row.name)]
    command += ["--threads", str(threads), "--seconds", str(args.seconds), "--outputs", folder]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(threads), timeout=args.timeout,
                          env=environment(args, row, threads))
    if done.returncode < 0:
        return {"error": f"killed by signal {-done.returncode}"}
    if done.returncode:
        return {"error": why(done.stderr) or f"exit status {done.returncode}"}
    return json.loads(last_line(done.stdout))


def measure(peer, row, threads, round_number, args):
    folder = outputs_folder(args, row, threads, peer)
    if round_number == 0:
        shutil.rmtree(compile_cache(args, row, threads), ignore_errors=True)
    try:
        if PEERS[peer]:
            return run_worker(PEERS[peer], row, threads, args, folder)
        with open(places.row_file(row.name)) as file:
            return tenon.measure(json.load(file), threads, args.seconds, folder, pin(threads), args.timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"took over {args.timeout:.0f} s"}
    except (tenon.Failed, OSError) as error:
        return {"error": str(error)}


def agreement(reference, folders):
    """What agree.py says; it needs NumPy, which would make this process, and so those it starts, larger."""
    command = [sys.executable, os.path.join(HERE, "agree.py"), reference, *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"flat": False, "differences": {folder: None for folder in folders}}
    return json.loads(done.stdout)
