"""One family of errors: what is wrong, where, and what to do about it.

Every error that lastbit raises on purpose is a `LastbitError`. Its text is one paragraph, and its
`exit_code` is what the command line returns, so that a library user and a shell script see the
same thing. Anything else that escapes is a bug in lastbit.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_OK = 0
"""Proved, or accepted by the checker."""
EXIT_REJECTED = 1
"""Refuted, or rejected by the checker."""
EXIT_USAGE = 2
"""Wrong usage or bad input; nothing is said about any model."""
EXIT_UNDECIDED = 3
"""Neither proved nor refuted; or all that is proved is U = 1, which says nothing."""
EXIT_INTERRUPTED = 130
"""Ctrl-C (128 + SIGINT)."""
EXIT_BROKEN_PIPE = 141
"""Whoever read standard output went away (128 + SIGPIPE)."""


class LastbitError(Exception):
    """Base of the family.

    Args:
        message: what is wrong.
        where: the file, node, rule or option that it is about.
        fix: what the reader can do now.
    """

    exit_code: int = EXIT_USAGE

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return "; ".join(part for part in (self.message, self.where, self.fix) if part)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost when an error crosses a process boundary.
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[LastbitError], state: dict[str, object]) -> LastbitError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class UsageError(LastbitError):
    """A command or function was called in a way that makes no sense."""


class ModelError(LastbitError):
    """Not an ONNX file, truncated, NaN or infinite weights, wrong input shape, and the like."""


class UnsupportedOperatorError(ModelError):
    """The model uses operators that lastbit has no rule for; all of them are said at once.

    Args:
        operators: pairs (operator type and what is not covered of it, node name), in the order of
            the file.
        where: the model file.
    """

    def __init__(self, operators: Sequence[tuple[str, str]], *, where: str = "") -> None:
        by_type: dict[str, list[tuple[str, str]]] = {}
        for what, node in operators:
            kind, _, reason = what.partition(" ")
            by_type.setdefault(kind, []).append((reason, node))
        advice = [said for kinds, said in ADVICE if by_type.keys() & kinds]
        covered = "lastbit can only bound networks made of the operators in docs/operators.md"
        super().__init__(
            f"unsupported operators: {', '.join(_of_one_type(*each) for each in by_type.items())}",
            where=where,
            fix=". ".join([covered, *advice]),
        )
        self.operators = tuple(operators)


MOST_REASONS = 3
ADVICE: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"GroupNormalization", "InstanceNormalization", "LayerNormalization",
                   "LpNormalization", "RMSNormalization", "Sqrt"}),
        "Layer, group and instance norm divide by what an image decides: train with batch norm",
    ),
    (
        frozenset({"Attention", "Einsum", "MultiHeadAttention"}),
        "Attention multiplies what is computed by what is computed: none of it is covered",
    ),
    (
        frozenset({"Abs", "Exp", "Log", "Shrink", "Sin", "Swish", "ThresholdedRelu"}),
        "Train with an activation that is covered in the place of one that is not",
    ),
    (
        frozenset({"If", "Loop", "Scan", "SequenceAt", "NonZero", "Range", "Where", "Equal"}),
        "Export with fixed sizes and for one image, so that no operator decides what is run",
    ),
    (
        frozenset({"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger",
                   "QLinearConv", "QLinearMatMul", "QuantizeLinear"}),
        "Export the model of float32 numbers, before it is quantized",
    ),
)  # fmt: skip
"""What to do about operators that are often met."""


def _of_one_type(kind: str, found: list[tuple[str, str]]) -> str:
    """Uses of an operator in a few words, whatever their number."""
    reasons = list(dict.fromkeys(reason for reason, _ in found if reason))
    where = f"node {found[0][1]!r}"
    if len(found) > 1:
        where = f"{len(found)} times, first {where}"
    if len(reasons) < 2:
        return f"{' '.join([kind, *reasons])} ({where})"
    more = len(reasons) - MOST_REASONS
    said = [*reasons[:MOST_REASONS], *([f"and {more} more reasons"] if more > 0 else [])]
    return f"{kind} ({where}: {'; '.join(said)})"


class DataError(LastbitError):
    """Images are missing, cannot be fetched, or are not the canonical ones."""


class CertificateError(LastbitError):
    """A certificate or witness that cannot be read (a readable but wrong one is *rejected*)."""


class QueryError(LastbitError):
    """A query that is no VNN-LIB, or that asks what no rule of lastbit is about."""


class OutputError(LastbitError):
    """A result cannot be written: no permission, no space, no such folder."""


class PlatformError(LastbitError):
    """A library of this machine is worse than what a measurement takes it for."""


class MissingExtraError(LastbitError):
    """A command needs packages that the core installation leaves out.

    Args:
        what: the thing that was asked for, e.g. "training".
        extra: the extra that brings it, e.g. "train".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed",
            where=f"the extra {extra!r}",
            fix=install_command(extra),
        )
        self.extra = extra


def install_command(extra: str) -> str:
    """What installs an extra beside the lastbit that is running, from where that came from."""
    checkout = Path(__file__).resolve().parents[2]
    editable = (checkout / "pyproject.toml").is_file()
    what = f"{checkout}[{extra}]" if editable else f"lastbit[{extra}]"
    parts = [sys.executable, "-m", "pip", "install", *["--editable"] * editable, what]
    return shlex.join(parts)
