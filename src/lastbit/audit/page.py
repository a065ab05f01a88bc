"""The audit as a page of Markdown: the same layout each time, versions and processor included."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.audit.assumptions import ETA, Peak, Tally, assumption, units
from lastbit.audit.exhaustive import PATTERNS, SPECIAL_VALUES, Sweep, processor
from lastbit.audit.network import NetworkAudit, Row
from lastbit.audit.reference import EXP_ULPS, FUNCTIONS, FunctionName
from lastbit.audit.rewriting_page import GRAPHS, SETTINGS, TOLD, graphs, settings, table, told
from lastbit.audit.told import Told


@dataclass(frozen=True)
class Audit:
    """Everything that one run found.

    Attributes:
        sweep: the elementary functions.
        special: results at `SPECIAL_VALUES`, by (runtime, function).
        missing: why a runtime's functions were not run, by name.
        exp_error: largest error of NumPy's float64 exp that was measured, in ulp.
        network: the model.
        told: networks made to tell.
    """

    sweep: Sweep
    special: Mapping[tuple[str, str], list[str]]
    missing: Mapping[str, str]
    exp_error: float
    network: NetworkAudit
    told: Sequence[Told] = ()

    def _repr_markdown_(self) -> str:
        """What notebooks show."""
        return render(self)

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
        for graph in self.network.structures:
            why = (*graph.broken, *graph.unequal)
            found += [f"{graph.runtime}, {graph.setting}: {each}" for each in why]
        return [*found, *(failure for one in self.told for failure in one.failures)]


_INTRODUCTION = """\
The theorem of [bound.md](bound.md) assumes something of the programs that execute a network. Here
it is measured on the programs that are installed, on this processor; it says nothing of others."""

_FUNCTIONS = """\
Each function at {patterns}, on contiguous vectors and, where a runtime takes them, on strided
ones. `short` are vectors of 1 to 17 and of 31 elements, which are all tail, at {short:,}
patterns: zeros, subnormals, powers of two, where the functions saturate, with their neighbours,
and the rest drawn evenly. exp is held against its assumption where x <= 0. `near` is where |z| <=
2^-6 (where |z| <= 2^-27 an error of sigmoid or SiLU counts so many times as less is assumed there),
`far` everywhere else. An error is |computed - reference| plus the bound of the reference's own
error, 2^-47 of the value; that bound takes NumPy's float64 exp to be within {assumed} ulp,
and at sampled points it is within {measured:.3f}."""

_LIMITS = """\
An error is given in units of what is assumed, or of 2^-126 where that is more. `0 from` is the
largest argument <= -1 with the result 0; `limit from` the smallest argument >= 1 with the result
that the function approaches: 1, z, or infinity (exp); `NaN lost` counts NaN arguments whose result
is a number."""

_SPECIAL = """\
Results at special values, contiguous. None of them is assumed: that nothing is infinite or NaN is
proved."""

_NETWORK = """\
Each value is held, image by image and unit by unit, against the definition of an execution
(bound.md, section 2): the node's function of the values that the same execution computed before it,
evaluated in float64 with a bound of that evaluation's own error, which counts against us, and what
one execution may round for operands of these magnitudes. The share is of that, at the worst unit of
the worst image; besides, every value is held against the node's range over all images. What a node
takes in (constants, factors, batch norm, a residual) is judged as one sum. Where a kernel hides
nodes, a visible value may be off by what the hidden ones before it may, and a share says less. What
is not covered by the statement has to be caught."""

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
        "## Rewritten graphs" if network.structures else "",
        GRAPHS if network.structures else "",
        graphs(network.structures) if network.structures else "",
        "## Networks made to tell" if audit.told else "",
        TOLD if audit.told else "",
        told(audit.told) if audit.told else "",
        "## Settings",
        SETTINGS,
        settings(network.rows),
        "## Verdict",
        "\n".join(f"* {failure}" for failure in audit.failures) or _MET,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _assumed() -> str:
    rows = []
    for name in FUNCTIONS:
        (near, unit), (far, _) = units(name, near=True), units(name, near=False)
        limit = f"{far:g} {unit}" if near == far else f"{far:g} {unit}, near {near:g} {unit}"
        rows.append([name, assumption(name), limit if unit == "u" else f"{limit}, + 2^-126"])
    return table(["function", "assumption", "error at most"], rows)


def _functions(sweep: Sweep) -> str:
    head = ["function", "runtime", "memory", "near", "far", "largest ulp", "0 from", "limit from",
            "NaN lost", "meets"]  # fmt: skip
    rows = [
        [name, runtime, memory, *_cells(name, tally)]
        for name in FUNCTIONS
        for (runtime, function, memory), tally in sorted(sweep.tallies.items())
        if function == name
    ]
    return table(head, rows)


def _cells(name: FunctionName, tally: Tally) -> list[str]:
    def error(peak: Peak, *, near: bool) -> str:
        if name == "exp" and near:
            return "-"
        limit, unit = units(name, near=near)
        scale = {"u": 1.0, "u|z|": abs(peak.at), "u exp(x)": np.exp(peak.at)}[unit]
        if unit != "u" and limit * 2.0**-24 * scale < ETA:
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
    return table(head, sorted(rows, key=lambda row: (FUNCTIONS.index(row[0]), row[1])))


def _power(value: float) -> str:
    if value == 0 or not np.isfinite(value):
        return str(value)
    return f"{'-' if value < 0 else ''}2^{int(np.log2(abs(value)))}"


def _missing(missing: Mapping[str, str]) -> str:
    return "\n".join(f"* Not run: {name}: {reason}." for name, reason in missing.items())


def _rows(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = ["runtime", "setting", "images", "nodes seen", "worst node", "at", "share",
            "values out of range", "verdict"]  # fmt: skip
    body = [
        [row.runtime, row.setting, str(row.images), f"{len(row.nodes)} of {row.all_nodes}",
         row.worst, str(tuple(row.nodes[row.worst].at)), f"{row.nodes[row.worst].share:.4g}",
         str(row.outside), verdict(row)]
        for row in rows
    ]  # fmt: skip
    return table(head, body)


def verdict(row: Row) -> str:
    """What an execution's row says, in a word or two."""
    if row.covered:
        return "within" if row.within else "**outside**"
    if row.within:
        return "**not caught**" if row.certain else "not covered, within here"
    return "not covered, caught"
