"""The code that inductor generates: which functions its kernels call, and what they compute twice.

A kernel is straight-line code inside of loops: numbers are loaded from buffers, computed with, and
stored. All that is asked of the text is which functions occur, and how many exponentials are
computed: more than the graph has would mean that some are computed twice, where a vector's function
and a scalar's need not agree in the last bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

KERNEL = re.compile(r"^(\w+) = async_compile\.cpp_pybinding\(.*?^'''\)", re.S | re.M)
ASSIGNED = re.compile(r"^\s*(?:auto|float|at::vec::Vectorized<float>) (tmp\w*) = (.*);$")
FUNCTION = "exp|expm1|log1p|tanh|erf"
COMPUTES = re.compile(rf"tmp\w* [-+*/] |\.({FUNCTION}|neg)\(|std::({FUNCTION})\(")
CALLED = re.compile(r"([A-Za-z_][\w:]*(?:<[^<>()]*>)?)\(|\.(\w+)\(")
OTHER_TYPES = ("bfloat16", "half", "Half", "double", "int8", "float16", "uint8_t")
EXTERN = re.compile(r"(extern_kernels\.\w+|torch\.ops\.[\w.]+)\(")
CURVED = ("sigmoid", "silu", "elu", "exp", "expm1", "log1p", "tanh", "erf")
"""The functions of PyTorch that are computed by one of these, for a vector or for a number."""
VECTOR, SCALAR = re.compile(rf"\.({FUNCTION})\(\)"), re.compile(rf"std::({FUNCTION})\(")

FUNCTIONS = (
    "at::vec::Vectorized", "loadu", "store", "static_cast", "decltype", "neg", "exp", "sqrt",
    "rsqrt", "reciprocal", "expm1", "std::expm1", "log1p", "std::log1p", "abs", "std::abs",
    "std::exp", "std::sqrt", "tanh", "std::tanh", "erf", "std::erf", "float",
    "sum_masked_reduce", "max_masked_reduce", "max_propagate_nan", "maximum",
    "at::vec::maximum", "minimum", "at::vec::minimum", "std::min", "at::vec::vec_reduce_all",
    "transpose_mxn", "std::max", "alignof", "alignas", "sizeof", "std::size_t",
    "std::make_unique", "std::numeric_limits", "infinity", "C10_LIKELY", "C10_UNLIKELY",
    "at::vec::VecMask", "blendv", "cast", "for", "if", "int", "get",
    "inductor_cpu_throw_if_integer_div_error", "cascade_sum_combine", "cascade_sum_final",
    "omp_get_max_threads", "omp_get_num_threads", "omp_get_thread_num", "num_threads",
)  # fmt: skip
"""Of the language, of vectors in float32, of exact reductions in some order: `sum` allows those."""
EXTERNS = ("extern_kernels.convolution", "extern_kernels.mm", "extern_kernels.addmm",
           "extern_kernels.bias_addmm")  # fmt: skip


@dataclass(frozen=True)
class Kernels:
    """What stands in the generated code.

    Attributes:
        operations: of each kernel, how many lines compute something.
        calls: how often each is called.
        exponentials: of each, how many it computes, by a vector's function and by a scalar's.
        unknown: functions that are not known here, in words.
    """

    operations: dict[str, int]
    calls: dict[str, int]
    exponentials: dict[str, tuple[int, int]]
    unknown: tuple[str, ...]

    @property
    def curves(self) -> tuple[int, int]:
        """All exponentials of a run: by vectors' functions, by scalars'."""
        pairs = [(n * self.calls[k], m * self.calls[k]) for k, (n, m) in self.exponentials.items()]
        return sum(n for n, _ in pairs), sum(m for _, m in pairs)


def kernels_of(code: str) -> Kernels:
    """Read the text of an inductor module."""
    program = code[code.rfind("class Runner") :]
    operations, calls = dict[str, int](), dict[str, int]()
    exponentials, unknown = dict[str, tuple[int, int]](), list[str]()
    for match in KERNEL.finditer(code):
        name, body = match[1], match[0]
        lines = [line for line in body.splitlines() if ASSIGNED.match(line)]
        operations[name] = sum(bool(COMPUTES.search(line)) for line in lines)
        calls[name] = len(re.findall(rf"\b{name}\(", program))
        exponentials[name] = (
            sum(bool(VECTOR.search(line)) for line in lines),
            sum(bool(SCALAR.search(line)) for line in lines),
        )
        unknown += [f"{name} calls {f}" for f in _unknown(body)]
    unknown += [f"the program calls {f}" for f in dict.fromkeys(EXTERN.findall(program))
                if f not in EXTERNS]  # fmt: skip
    return Kernels(operations, calls, exponentials, tuple(unknown))


def _unknown(body: str) -> Iterator[str]:
    """Functions and types that are not known here."""
    text = body.partition("kernel(")[2]
    names = [re.sub(r"<.*>", "", a or b).strip() for a, b in CALLED.findall(text)]
    yield from (name for name in dict.fromkeys(names) if name not in FUNCTIONS)
    yield from (kind for kind in OTHER_TYPES if re.search(rf"\b{kind}\b", text))
