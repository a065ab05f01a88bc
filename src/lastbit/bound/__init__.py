"""Untrusted search for hints: what is boxed, which slopes; and the method `norms`."""

from lastbit.bound.absorb import absorbed_node as absorbed_node
from lastbit.bound.adjoint import adjoints as adjoints
from lastbit.bound.branches import (
    NO_BRANCHING as NO_BRANCHING,
    Branching as Branching,
    branch as branch,
)
from lastbit.bound.norms import Norms as Norms
from lastbit.bound.plan import Plan as Plan, plan as plan
from lastbit.bound.walk import Kept as Kept, Walk as Walk, Watch as Watch, derive as derive
