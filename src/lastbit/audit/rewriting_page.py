"""The part of the page that speaks of rewritten graphs, of networks made to tell, of settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lastbit.audit.network import Row
from lastbit.audit.structure.matched import REWRITINGS, Structure
from lastbit.audit.told import Told
from lastbit_check.question import ANY_TWO, SAME_PROGRAM

GRAPHS = """\
What each runtime made of the graph, read from what it gives away itself: ONNX Runtime's optimised
model, XLA's optimised program, the graph and the code that inductor generates. Each graph is run in
float64 on random images, and every operation has to belong to a node of the normal form. `sum`
counts residuals that joined a convolution and products that are added in one kernel, `scale`
constants that are not in the file, and factors that were moved, `hide` kernels that compute more
than they store, `recomputes` nodes that are computed more than once. PyTorch, eager, runs the
operators as they are written. What several operators read has to be one number (`computed-once`):
XLA computes cheap things anew in every kernel that needs them, and may make a multiply-add of a
product that is added to something in one kernel and not in another. Where a model lets that happen
to a node, it is named, and the assumption does not hold of that model under `jax.jit`."""

TOLD = """\
Small networks in which a rewriting that is not allowed would be seen: sums larger than their whole,
constants that cancel, factors that multiply to much or to little, values that two read. The last
layer is scaled until the bound is about 1/4, the bias chosen so that the answer is 1/2. `share` is
what any runtime at any level attains, of the bound. `left out` counts networks on which a runtime
was found to compute a node twice (XLA), and what it attains there: of those nothing is claimed."""

SETTINGS = """\
What breaks an assumption, and what mends it. `here` says what the audit saw on this processor."""

OTHERS = (
    ("jax.jit computes a value anew in several kernels",
     "a product is rounded in one and not in another: `computed-once`",
     "XLA_FLAGS=--xla_disable_hlo_passes=fusion, or jax.lax.optimization_barrier around the value"),
    ("PyTorch and ONNX Runtime on a GPU, as they come", "TF32 has products of 11 bits",
     "torch.backends.cudnn.allow_tf32 = False and torch.backends.cuda.matmul.allow_tf32 = False; "
     "use_tf32 = 0 for the CUDA provider; `lastbit audit --device cuda` measures it"),
    ("torch.set_float32_matmul_precision('medium')", "products in bfloat16 where the processor has "
     "them", "leave it at 'highest', its default"),
    ("ONNX Runtime on Arm, mlas.enable_gemm_fastmath_arm64_bfloat16 = 1",
     "matrix products in bfloat16", "leave it at 0, its default"),
    ("ONEDNN_DEFAULT_FPMATH_MODE=BF16, TF32 or ANY", "products of fewer bits inside of oneDNN",
     "leave it unset"),
)  # fmt: skip
"""Setting, what it does, what mends it: of what no execution here is an instance."""

MENDS = {
    "oneDNN off: NNPACK's Winograd": (
        "convolutions of 3x3, in batches of 16 or more, by Winograd's method",
        "torch.backends.nnpack.set_flags(False), or oneDNN on, its default",
    ),
    "bfloat16 autocast": ("products in bfloat16", "no autocast"),
    "oneDNN convolutions in bfloat16 by fp32_precision": (
        "products in bfloat16 inside of oneDNN",
        "torch.backends.mkldnn.conv.fp32_precision = 'ieee', or its default",
    ),
    "as it comes (TF32 in convolutions)": (
        "products in TF32", "torch.backends.cudnn.allow_tf32 = False",
    ),
    "as it comes (TF32)": ("products in TF32", "use_tf32 = 0"),
}  # fmt: skip
"""By setting of an execution that is not covered: what it does, and what mends it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def graphs(found: Sequence[Structure]) -> str:
    """A row for each graph, and what of it is not as it should be."""
    head = ["runtime", "setting", "operations", "nodes", *REWRITINGS, "verdict"]
    rows = [
        [s.runtime, s.setting, str(s.operations), f"{s.nodes} of {s.all_nodes}",
         *(str(s.rewritings[name]) for name in REWRITINGS), structure_verdict(s)]
        for s in found
    ]  # fmt: skip
    notes = [f"* {s.runtime}, {s.setting}, computes twice: {', '.join(s.twice)}."
             for s in found if s.twice]  # fmt: skip
    return "\n\n".join([table(head, rows), *notes])


def structure_verdict(s: Structure) -> str:
    """What a graph's row says, in a word or two."""
    if s.broken:
        return "**matches no allowed rewriting**"
    return "**computed-once does not hold**" if s.unequal else "allowed"


def told(found: Sequence[Told]) -> str:
    """A row for each kind of network."""
    head = ["kind", "networks", "share, one program", "by", "share, any two", "left out",
            "attained there", "verdict"]  # fmt: skip
    kinds = dict.fromkeys(one.name.split()[0] for one in found)
    return table(head, [_kind(kind, [one for one in found if one.name.split()[0] == kind])
                        for kind in kinds])  # fmt: skip


def _kind(kind: str, some: Sequence[Told]) -> list[str]:
    proved = [one for one in some if one.upper]
    best = max(proved, key=lambda one: share(one, SAME_PROGRAM), default=None)
    out = [value for one in some for value in one.excluded.values()]
    return [
        kind,
        f"{len(proved)} of {len(some)}",
        f"{share(best, SAME_PROGRAM):.3g}" if best else "-",
        best.attained[SAME_PROGRAM].by if best else "-",
        f"{max((share(one, ANY_TWO) for one in proved), default=0.0):.3g}",
        str(sum(bool(one.excluded) for one in some)),
        f"{np.max(out):.3g}" if out else "-",
        "**exceeded**" if any(one.failures for one in some) else "within",
    ]


def share(one: Told, executions: str) -> float:
    """What was attained, of the bound; 0 of 0 is 0."""
    attained = one.attained[executions].value
    return attained / one.upper[executions] if attained else 0.0


def settings(rows: Sequence[Row]) -> str:
    """Settings that are not covered: measured ones, then those that no execution here has."""
    head = ["setting", "what it does", "what mends it", "here"]
    measured = [
        [f"{row.runtime}, {row.setting}", *MENDS[row.setting],
         "within" if row.within else f"caught at {row.worst}, {row.nodes[row.worst].share:.3g} x"]
        for row in rows
        if row.setting in MENDS
    ]  # fmt: skip
    return table(head, [*measured, *([*other, "not tried"] for other in OTHERS)])
