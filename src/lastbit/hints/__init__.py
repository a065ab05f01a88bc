"""Untrusted search for hints: what is boxed, which slopes, which trees, which scales."""

from lastbit.hints.branches import (
    NO_BRANCHING as NO_BRANCHING,
    Branching as Branching,
    branched as branched,
)
from lastbit.hints.plan import Plan as Plan, hints_for as hints_for, plan as plan
from lastbit.hints.together import taken_together as taken_together
