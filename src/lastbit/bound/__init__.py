"""Untrusted search for hints: what is boxed, which slopes, which norms."""

from lastbit.bound.absorb import absorbed_node as absorbed_node
from lastbit.bound.adjoint import adjoints as adjoints
from lastbit.bound.branches import (
    NO_BRANCHING as NO_BRANCHING,
    Branching as Branching,
    branch as branch,
)
from lastbit.bound.norms import claimed_norms as claimed_norms
from lastbit.bound.plan import Plan as Plan, plan as plan
from lastbit.bound.walk import Kept as Kept, Walk as Walk, Watch as Watch, derive as derive
