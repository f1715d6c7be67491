#!/usr/bin/env python3
"""Whether Tenon has become slower beside ONNX Runtime: guard.py [--record]

in:  guard.json: for each of a few small models the ratio Tenon / ONNX Runtime at one thread, recorded once
out: a line for each model; `# WARNING ...` for one whose ratio is by more than LIMIT above the recorded one.
     --record writes guard.json instead. Exit 0 in both cases, 1 when it could not be measured
law: only ratios of one run are compared, never times; another kind of CPU than the recorded one is said
"""
import json
import os
import subprocess
import sys

import machine
import places

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = os.path.join(HERE, "guard.json")
RESULTS = os.path.join(places.BUILD, "bench-guard")
LIMIT = 1.10
ROWS = ["ocr_rec", "ocr_cls", "minilm_l3", "magika", "mtcnn_pnet", "shufflenet"]


def measure(rows):
    """The ratio of each row, of fastest runs, which work beside this disturbs least; None: it has none."""
    command = [sys.executable, os.path.join(HERE, "bench.py"), *rows, "--peers", "tenon,onnxruntime", "--threads", "1"]
    subprocess.run([*command, "--rounds", "5", "--seconds", "0.4", "--fresh", "--out", RESULTS], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(RESULTS, "results.json")) as file:
        results = json.load(file)["results"]
    return {told["model"]: ratio(told["peers"]) if "ratio" in told else None for told in results}


def ratio(peers):
    return peers["tenon"]["min_ms"] / peers["onnxruntime"]["min_ms"]


def record():
    with open(FIGURES, "w") as file:
        json.dump({"cpu": machine.describe(), "ratios": {r: round(x, 3) for r, x in measure(ROWS).items()}}, file, indent=1)
        file.write("\n")


def compare():
    with open(FIGURES) as file:
        recorded = json.load(file)
    if recorded["cpu"]["features"] != machine.describe()["features"]:
        print(f"# the figures are of another kind of CPU: {recorded['cpu']['cpu']}")
    for row, now in measure(list(recorded["ratios"])).items():
        before = recorded["ratios"][row]
        if now is None:
            print(f"# WARNING {row}: no ratio could be measured (recorded {before:.2f})")
        elif now > before * LIMIT:
            print(f"# WARNING {row}: {now:.2f} of ONNX Runtime's time, recorded {before:.2f}")
        else:
            print(f"# {row}: {now:.2f} of ONNX Runtime's time, recorded {before:.2f}")


def main():
    try:
        record() if sys.argv[1:] == ["--record"] else compare()
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"guard: {error}")


main()
