"""The audit as a page of Markdown: the same layout each time, versions and processor included."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.audit.assumptions import ETA, Peak, Tally, assumption, units
from lastbit.audit.exhaustive import PATTERNS, SPECIAL_VALUES, Sweep, processor
from lastbit.audit.reference import EXP_ULPS, FUNCTIONS, FunctionName
from lastbit.audit.whole import NetworkAudit, Row


@dataclass(frozen=True)
class Audit:
    """Everything that one run found.

    Attributes:
        sweep: the elementary functions.
        special: results at `SPECIAL_VALUES`, by (runtime, function).
        missing: why a runtime's functions were not run, by name.
        exp_error: largest error of NumPy's float64 exp that was measured, in ulp.
        network: the model.
    """

    sweep: Sweep
    special: Mapping[tuple[str, str], list[str]]
    missing: Mapping[str, str]
    exp_error: float
    network: NetworkAudit

    @property
    def exhaustive(self) -> bool:
        """Whether every float32 number was tried."""
        return self.sweep.patterns == PATTERNS

    @property
    def failures(self) -> list[str]:
        """Every assumption that is not met and every bound that does not hold, in words."""
        found = [
            f"{runtime} does not meet {assumption(function)} ({function}, {memory})"
            for (runtime, function, memory), tally in self.sweep.tallies.items()
            if not tally.meets
        ]
        for row in self.network.rows:
            if not row.as_expected:
                what = f"{row.runtime}, {row.setting}"
                if row.covered:
                    found.append(f"{what} leaves its bounds at {row.worst}")
                else:
                    found.append(f"{what} is not covered, and was not caught")
        return found


_INTRODUCTION = """\
The theorem of [bound.md](bound.md) assumes something of the programs that execute a network. Here
it is measured on the programs that are installed, on this processor; it says nothing of others."""

_FUNCTIONS = """\
Each function at {patterns}, on contiguous vectors and, where a runtime takes them, on strided
ones. `short` are vectors of 1 to 17 and of 31 elements, which are all tail, at {short:,}
patterns: zeros, subnormals, powers of two, where the functions saturate, with their neighbours,
and the rest drawn evenly. exp is held against its assumption where x <= 0. `near` is where |z| <=
2^-6 (where |z| <= 2^-27 an error counts so many times as less is assumed there), `far` everywhere
else. An error is |computed - reference| plus the bound of the reference's
own error, 2^-47 of the value; that bound takes NumPy's float64 exp to be within {assumed} ulp,
and at sampled points it is within {measured:.3f}."""

_LIMITS = """\
An error is given in units of what is assumed, or of 2^-126 where that is more. `0 from` is the
largest argument <= -1 with the result 0; `limit from` the smallest argument >= 1 with the result 1
(sigmoid), z (silu), infinity (exp); `NaN lost` counts NaN arguments whose result is a number."""

_SPECIAL = """\
Results at special values, contiguous. None of them is assumed: that nothing is infinite or NaN is
proved."""

_NETWORK = """\
Each node's value is held against the node's function of the values that the same execution
computed before it, evaluated in float64 with a bound of that evaluation's own error, which counts
against us. The share is of the rounding bound r_k that the certificate's rules prove for the
node, and every value is held against the node's range. Where nodes are fused, a visible value may
be off by what the hidden ones before it may, and a share says less. bfloat16 is not covered by
the statement, and has to be caught."""

_MET = """\
Every assumption is met, and every execution that the statement covers is within its bounds."""


def render(audit: Audit) -> str:
    """The whole page."""
    sweep, network = audit.sweep, audit.network
    patterns = (
        "all 2^32 bit patterns" if audit.exhaustive else f"{sweep.patterns:,} sampled bit patterns"
    )
    command = "lastbit audit --full" if audit.exhaustive else "lastbit audit"
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    measured = _FUNCTIONS.format(
        patterns=patterns, short=sweep.short_patterns, assumed=EXP_ULPS, measured=audit.exp_error
    )
    parts = [
        "# What the runtimes do",
        f"Written by `{command}`. Processor: {processor()}; {versions}.",
        _INTRODUCTION,
        "## Elementary functions",
        measured,
        _assumed(),
        _functions(sweep),
        _LIMITS,
        _missing(audit.missing),
        _SPECIAL,
        _special(audit.special),
        "## A whole network",
        f"Model `{network.name}`, SHA-256 {network.sha256}. Images: {network.images}.",
        f"No bounds to be held against: {network.refused}." if network.refused else _NETWORK,
        _rows(network.rows),
        _missing(network.missing),
        "## Verdict",
        "\n".join(f"* {failure}" for failure in audit.failures) or _MET,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _assumed() -> str:
    rows = []
    for name in FUNCTIONS:
        (near, unit), (far, _) = units(name, near=True), units(name, near=False)
        limit = f"{far:g} {unit}" if name == "exp" else f"{far:g} {unit}, near {near:g} {unit}"
        rows.append([name, assumption(name), limit if name == "sigmoid" else f"{limit}, + 2^-126"])
    return _table(["function", "assumption", "error at most"], rows)


def _functions(sweep: Sweep) -> str:
    head = ["function", "runtime", "memory", "near", "far", "largest ulp", "0 from", "limit from",
            "NaN lost", "meets"]  # fmt: skip
    rows = [
        [name, runtime, memory, *_cells(name, tally)]
        for name in FUNCTIONS
        for (runtime, function, memory), tally in sorted(sweep.tallies.items())
        if function == name
    ]
    return _table(head, rows)


def _cells(name: FunctionName, tally: Tally) -> list[str]:
    def error(peak: Peak, *, near: bool) -> str:
        if name == "exp" and near:
            return "-"
        limit, unit = units(name, near=near)
        scale = {"sigmoid": 1.0, "silu": abs(peak.at), "exp": np.exp(peak.at)}[name]
        if name != "sigmoid" and limit * 2.0**-24 * scale < ETA:
            return f"{peak.value:.4g} x 2^-126 at {peak.at:.7g}"  # underflow: nothing else counts
        return f"{peak.value * limit:.4g} {unit} at {peak.at:.7g}"

    return [
        error(tally.near, near=True),
        error(tally.far, near=False),
        f"{tally.ulps.value:.4g} at {tally.ulps.at:.7g}",
        "-" if np.isinf(tally.zero) else f"{tally.zero:.7g}",
        "-" if np.isinf(tally.top) else f"{tally.top:.7g}",
        str(tally.nan_lost),
        "yes" if tally.meets else "**no**",
    ]


def _special(special: Mapping[tuple[str, str], list[str]]) -> str:
    head = ["function", "runtime", *(_power(v) for v in SPECIAL_VALUES)]
    rows = [[function, runtime, *values] for (runtime, function), values in special.items()]
    return _table(head, sorted(rows, key=lambda row: (FUNCTIONS.index(row[0]), row[1])))


def _power(value: float) -> str:
    if value == 0 or not np.isfinite(value):
        return str(value)
    return f"{'-' if value < 0 else ''}2^{int(np.log2(abs(value)))}"


def _missing(missing: Mapping[str, str]) -> str:
    return "\n".join(f"* Not run: {name}: {reason}." for name, reason in missing.items())


def _rows(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = ["runtime", "setting", "images", "nodes seen", "worst node", "share of r_k",
            "values out of range", "verdict"]  # fmt: skip
    body = [
        [row.runtime, row.setting, str(row.images), f"{len(row.nodes)} of {row.all_nodes}",
         row.worst, f"{row.nodes[row.worst].share:.4g}", str(row.outside), verdict(row)]
        for row in rows
    ]  # fmt: skip
    return _table(head, body)


def verdict(row: Row) -> str:
    """What an execution's row says, in a word or two."""
    if row.covered:
        return "within" if row.within else "**outside**"
    return "**not caught**" if row.within else "not covered, caught"
