"""What checks of TensorBoard's records share: TAP lines, and the run named by the first argument as the server reads it."""
import sys

from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.util import tensor_util

count = 0


def check(name, holds, *shown):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}")
    if not holds:
        for value in shown:
            print(f"# {value!r}")


# What TensorBoard's server reads runs with: every kind of record becomes a tensor, as its pages get them.
accumulator = plugin_event_accumulator.EventAccumulator(
    sys.argv[1], size_guidance={plugin_event_accumulator.TENSORS: 0})
accumulator.Reload()


def tensors(tag):
    """(step, array) of each record of a tag."""
    return [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]
