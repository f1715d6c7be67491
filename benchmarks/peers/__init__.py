"""What is measured. Each module but tenon.py is a library in Python and has

    NAME          as in tables
    load(row, inputs, threads) -> (run, outputs)

row: as in row.json; inputs: arrays in the order of row["inputs"]. run() is one inference from inputs that lie in
memory to outputs that lie in memory; outputs() gives those as arrays, in the order of row["outputs"]. A peer that
can't run a row raises Skip with the reason.
"""


class Skip(Exception):
    pass
