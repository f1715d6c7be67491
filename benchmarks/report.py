"""Results of rows, and their tables.

A row's result takes the round with the lowest median of each peer. Times below SMALL_MS are net of the identity
model's, on every side. A row is void when its outputs are further apart than TOLERANCE of their largest number, or
when they are all the same number.
"""
import json
import os

import chart
import measure
import models

TOLERANCE = 1e-4
NOISY = 1.15  # medians of the rounds further apart than this are marked
REFERENCES = ("torch", "onnxruntime", "openvino")  # the first that ran is what outputs are compared with


def combine(rounds):
    """One result of a peer's rounds."""
    best = dict(min(rounds, key=lambda r: r["median_ms"]))
    best["min_ms"] = min(r["min_ms"] for r in rounds)
    best["spread"] = max(r["median_ms"] for r in rounds) / best["median_ms"]
    cold = [r for r in rounds if r.get("cold", True)] or rounds
    for key in ("start_ms", "load_ms", "peak_bytes"):
        best[key] = min(r[key] for r in cold)
    return best


def peer_results(row, threads, args, kept):
    found = {}
    for peer in args.peers:
        rounds = [kept.get((row.name, threads, peer, r)) for r in range(args.rounds)]
        rounds = [r for r in rounds if r]
        good = [r for r in rounds if "median_ms" in r]
        found[peer] = combine(good) if good else (rounds[0] if rounds else {"error": "not measured"})
    return found


def compare_outputs(row, threads, args, results):
    """The largest difference of each peer from the reference, and why the row is void, or None."""
    ran = [peer for peer, r in results.items() if "median_ms" in r]
    reference = next((peer for peer in REFERENCES if peer in ran), ran[0] if ran else None)
    if len(ran) < 2:
        return {}, None
    others = {measure.outputs_folder(args, row, threads, p): p for p in ran if p != reference}
    said = measure.agreement(measure.outputs_folder(args, row, threads, reference), list(others))
    differences = {others[folder]: worst for folder, worst in said["differences"].items()}
    apart = [p for p, worst in differences.items() if worst is None or worst > TOLERANCE]
    if said["flat"]:
        return differences, "all outputs are one number"
    return differences, f"outputs of {', '.join(apart)} differ from {reference}'s" if apart else None


def is_small(results):
    return any(r.get("median_ms", models.SMALL_MS) < models.SMALL_MS for r in results.values())


def take_off_calls(results, calls):
    """Times of a small row net of what a call costs."""
    for peer, r in results.items():
        if "median_ms" in r and "median_ms" in calls.get(peer, {}):
            r["net_of_call_ms"] = calls[peer]["median_ms"]
            for key in ("median_ms", "min_ms"):
                r[key] = max(r[key] - calls[peer]["median_ms"], 1e-4)


def row_result(row, threads, args, kept):
    results = peer_results(row, threads, args, kept)
    if is_small(results):
        take_off_calls(results, peer_results(models.IDENTITY, threads, args, kept))
    differences, void = compare_outputs(row, threads, args, results)
    told = {"model": row.name, "title": row.title, "threads": threads, "peers": results, "differences": differences}
    others = {p: r["median_ms"] for p, r in results.items() if p != "tenon" and "median_ms" in r}
    if others:
        told["best_peer"] = min(others, key=others.get)
    if void:
        told["void"] = void
    elif others and "median_ms" in results.get("tenon", {}):
        told["ratio"] = results["tenon"]["median_ms"] / others[told["best_peer"]]
    return told


# ---- Tables ----------------------------------------------------------------------------------


def heading(peers):
    return f"{'model':36} {'thr':>3} " + " ".join(f"{p[:13]:>13}" for p in peers) + f" {'ratio':>6}"


def milliseconds(result):
    if "median_ms" in result:
        return f"{result['median_ms']:.4g}" + ("~" if result["spread"] > NOISY else "")
    return "-" if "skip" in result else "failed"


def ratio(told):
    return f"{told['ratio']:.2f}" if "ratio" in told else "void" if "void" in told else "-"


def line(told, peers):
    cells = " ".join(f"{milliseconds(told['peers'][p]):>13}" for p in peers)
    note = f"  void: {told['void']}" if "void" in told else ""
    return f"{told['title'][:36]:36} {told['threads']:3} {cells} {ratio(told):>6}{note}"


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def bold_best(told, peers):
    cells = []
    for peer in peers:
        text = milliseconds(told["peers"][peer])
        medians = [r["median_ms"] for r in told["peers"].values() if "median_ms" in r]
        is_best = medians and told["peers"][peer].get("median_ms") == min(medians)
        cells.append(f"**{text}**" if is_best else text)
    return cells


# The other figures, each a table of its own: title, key, unit's size, digits.
OTHERS = [
    ("From the process's start to the first output, ms", "start_ms", 1, 0),
    ("Loading and compiling, ms", "load_ms", 1, 0),
    ("Most memory resident, MB", "peak_bytes", 1e6, 0),
    ("To deploy: libraries and model, MB", "deploy_bytes", 1e6, 0),
]


def figure(result, key, unit, digits):
    return f"{result[key] / unit:.{digits}f}" if key in result else "-" if "skip" in result else "failed"


def problems(results):
    said = []
    for told in results:
        if "void" in told:
            said.append(f"- {told['title']}, {told['threads']} threads: void, {told['void']}")
        for peer, r in told["peers"].items():
            if "error" in r:
                said.append(f"- {told['title']}, {told['threads']} threads: {peer}: {r['error']}")
    return said


def markdown(results, args, header):
    about = header["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in header["versions"].items() if v)
    text = ["# Tenon beside its peers\n",
            f"{about['cpu']}, {about['cpus']} CPUs ({', '.join(about['features'])}), {about['memory_bytes'] / 2**30:.0f} GiB, "
            f"{about['system']}. {versions}.\n",
            f"Medians of the best of {header['rounds']} rounds of {header['seconds']:g} s. Ratio: Tenon / best peer, below 1 Tenon "
            "is faster. `~`: rounds far apart. `-`: the peer has no way to run it.\n",
            "![chart](results.svg)\n"]
    for threads in args.threads:
        mine = [r for r in results if r["threads"] == threads]
        text.append(f"## Latency, ms, {threads} thread{'s' if threads > 1 else ''}\n")
        rows = [[r["title"], *bold_best(r, args.peers), ratio(r)] for r in mine]
        text.append(markdown_table(["model", *args.peers, "ratio"], rows))
    mine = [r for r in results if r["threads"] == args.threads[0]]
    for title, key, unit, digits in OTHERS:
        text.append(f"## {title}, {args.threads[0]} thread{'s' if args.threads[0] > 1 else ''}\n")
        rows = [[r["title"], *(figure(r["peers"][p], key, unit, digits) for p in args.peers)] for r in mine]
        text.append(markdown_table(["model", *args.peers], rows))
    said = problems(results)
    if said:
        text += ["## What did not run\n", "\n".join(said) + "\n"]
    return "\n".join(text)


def write(rows, args, kept, header):
    """Writes results.json, results.md and results.svg; their paths."""
    results = [row_result(row, threads, args, kept) for threads in args.threads for row in rows]
    texts = {"results.json": json.dumps({**header, "results": results}, indent=1) + "\n",
             "results.md": markdown(results, args, header),
             "results.svg": chart.draw(results, args.peers)}
    paths = [os.path.join(args.out, name) for name in texts]
    for path, text in zip(paths, texts.values()):
        with open(path, "w") as file:
            file.write(text)
    return paths
