"""Is there a layer that no last bit gets through? Then the answer is exactly 0."""

from lastbit_check.bytes import absorbs, tables
from lastbit_check.network import normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected


def absorbed_node(model: bytes) -> str:
    """The first node of an ONNX file at which the checker finds all last bits gone; "" if none.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered.
    """
    nodes = normal_form(read(model))
    for node, _ in tables(nodes):
        try:
            absorbs(nodes, node.name)
        except Rejected:
            continue
        return node.name
    return ""
