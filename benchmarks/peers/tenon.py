"""Tenon, through its program: `tenon run` for first outputs, `tenon bench` for times. Nothing is taken off.

start_ms is all of `tenon run`, from asking for the process to its end with the outputs written to files.
"""
import json
import os
import re
import subprocess
import time

import places

NAME = "tenon"


class Failed(Exception):
    pass


def call(arguments, begin, timeout):
    """Standard output and seconds of a call of the program; `begin` runs in the process before it."""
    began = time.monotonic()
    done = subprocess.run([places.TENON, *arguments], capture_output=True, text=True, preexec_fn=begin, timeout=timeout)
    seconds = time.monotonic() - began
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Failed(said[-1] if said else f"exit status {done.returncode}")
    return done.stdout, seconds


def llvm():
    """LLVM's library, which the program loads when it compiles; empty: it is linked with it."""
    version = re.search(r"LLVM (\d+)\.(\d+)", subprocess.run([places.TENON, "--version"], capture_output=True, text=True).stdout)
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, env={**os.environ, "PATH": "/sbin:/usr/sbin:/bin:/usr/bin"})
    return re.findall(rf"libLLVM\.so\.{version[1]}\.{version[2]} .*=> (/\S+)", known.stdout)[:1]


def libraries():
    """Bytes of the program and the shared objects it loads that are not the system's own."""
    said = "".join(subprocess.run(["ldd", p], capture_output=True, text=True).stdout for p in [places.TENON, *llvm()])
    paths = {os.path.realpath(p) for p in [*re.findall(r"=> (/\S+)", said), *llvm()]}
    system = re.compile(r"/(libc|libm|libdl|libpthread|libstdc\+\+|libgcc_s|ld-linux[^/]*)\.so")
    return os.path.getsize(places.TENON) + sum(os.path.getsize(p) for p in paths if not system.search(p))


def name_outputs(folder, names):
    """outK.npy for the files of `tenon run`, which have the outputs' names."""
    for i, name in enumerate(names):
        file = "".join(c if c.isalnum() and c.isascii() or c in "._-" else "_" for c in name) + ".npy"
        os.replace(os.path.join(folder, file), os.path.join(folder, f"out{i}.npy"))


def measure(row, threads, seconds, outputs, begin, timeout):
    common = [row["model"], "--threads", str(threads), "--json"]
    for name, path in row["inputs"]:
        common += ["--input", f"{name}={path}"]
    os.makedirs(outputs, exist_ok=True)
    _, start = call(["run", *common, "--cache", "off", "--output-dir", outputs], begin, timeout)
    name_outputs(outputs, row["outputs"])
    told = json.loads(call(["bench", *common, "--seconds", str(seconds)], begin, timeout)[0])
    return {
        "min_ms": told["min_ms"],
        "median_ms": told["median_ms"],
        "runs": told["runs"],
        "start_ms": start * 1e3,
        "load_ms": max(told["first_ms"] - told["median_ms"], 0),
        "peak_bytes": told["peak_bytes"],
        "deploy_bytes": libraries() + os.path.getsize(row["model"]),
    }
