"""Where the benchmark keeps things, all below build/."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
PUBLISHED = os.path.join(BUILD, "models")
MODELS = os.path.join(BUILD, "bench-models")
RESULTS = os.path.join(BUILD, "bench-results")
TENON = os.path.join(BUILD, "tenon")


def row_folder(row):
    return os.path.join(MODELS, "rows", row)


def row_file(row):
    """What a row is run on: {"model": path, "module": path or null, "inputs": [[name, path]], "outputs": [name]}."""
    return os.path.join(row_folder(row), "row.json")
