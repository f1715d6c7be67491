#!/usr/bin/env python3
"""Tenon beside its peers: `make bench`, with BENCH_ARGS for what follows.

    bench.py [MODEL...] [--peers a,b] [--threads 1,2] [--rounds 3] [--seconds 1] [--list] [--fresh] [--out DIR]

MODEL is a name of `--list` or a pattern with *. Each measurement is a process of its own on the same cores; the
peers take turns in an order that changes from round to round. What is measured is kept at once: the same call
goes on where it was stopped, unless Tenon, the versions or the settings have changed. docs/BENCHMARKS.md tells
what the figures mean.
"""
import argparse
import fnmatch
import json
import os
import random
import sys
import time

import machine
import measure
import models
import places
import report
import store


def chosen_rows(patterns):
    """Rows that the patterns name, in the table's order, each pattern naming at least one."""
    for pattern in patterns:
        if not fnmatch.filter(models.ROWS, pattern):
            sys.exit(f"bench: no model is named {pattern}; --list shows them")
    rows = [row for row in models.ROWS.values() if row is not models.IDENTITY]
    return [row for row in rows if not patterns or any(fnmatch.fnmatchcase(row.name, p) for p in patterns)]


def parse():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--peers", default=",".join(measure.PEERS), help="names with commas between")
    parser.add_argument("--threads", default="1,2", help="numbers with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement, after the warm-up")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a process is ended")
    parser.add_argument("--list", action="store_true", help="names of models and peers")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of a run before")
    parser.add_argument("--out", default=places.RESULTS, help="folder of the results")
    args = parser.parse_args()
    args.peers = args.peers.split(",")
    args.threads = [int(n) for n in args.threads.split(",")]
    unknown = [p for p in args.peers if p not in measure.PEERS]
    if unknown:
        parser.error(f"no peer is named {unknown[0]}; --list shows them")
    if max(args.threads) > len(machine.cores()):
        parser.error(f"{max(args.threads)} threads, but only {len(machine.cores())} CPUs to run on")
    return args


class Progress:
    """A line for each measurement, with how many there are, which is a little more when small rows need IDENTITY."""

    def __init__(self, total):
        self.total, self.done, self.began = total, 0, time.monotonic()

    def say(self, row, threads, round_number, peer, result):
        self.done += 1
        told = f"{result['median_ms']:10.3f} ms" if "median_ms" in result else result.get("error") or result.get("skip")
        seconds = int(time.monotonic() - self.began)
        print(f"[{self.done}/{self.total}, {seconds // 60}:{seconds % 60:02}] {row.name}, {threads} threads, "
              f"round {round_number + 1}: {peer} {told}", file=sys.stderr, flush=True)


def measure_row(row, threads, args, kept, progress):
    """All rounds of a row; what is kept already is not measured again."""
    ready = None
    for round_number in range(args.rounds):
        order = list(args.peers)
        random.Random(f"{row.name} {threads} {round_number}").shuffle(order)
        for peer in order:
            key = (row.name, threads, peer, round_number)
            earlier = kept.get((row.name, threads, peer, 0), {})
            if kept.get(key) or "error" in earlier or "skip" in earlier:
                continue
            if ready is None:
                ready = measure.prepare(row)
            result = {"error": ready} if ready else measure.measure(peer, row, threads, round_number, args)
            kept.add(key, result)
            progress.say(row, threads, round_number, peer, result)


def measure_all(rows, args, kept):
    progress = Progress(len(rows) * len(args.threads) * args.rounds * len(args.peers))
    print(report.heading(args.peers))
    for threads in args.threads:
        for row in rows:
            measure_row(row, threads, args, kept, progress)
            if report.is_small(report.peer_results(row, threads, args, kept)):
                measure_row(models.IDENTITY, threads, args, kept, progress)
            print(report.line(report.row_result(row, threads, args, kept), args.peers), flush=True)


def main():
    args = parse()
    if args.list:
        print("models:", *(f"  {row.name:20} {row.title}" for row in chosen_rows([])), sep="\n")
        print("peers: ", ", ".join(measure.PEERS))
        return
    os.makedirs(args.out, exist_ok=True)
    header = {"machine": machine.describe(), "versions": machine.versions(), "rounds": args.rounds, "seconds": args.seconds}
    kept = store.open_store(os.path.join(args.out, "runs.jsonl"), header, args.fresh)
    rows = chosen_rows(args.models)
    try:
        measure_all(rows, args, kept)
    except KeyboardInterrupt:
        sys.exit("\nbench: stopped; the same call goes on from here")
    for path in report.write(rows, args, kept, header):
        print(os.path.relpath(path))


main()
