"""The lower bound: a pair of images, searched for, stored, and run again on real runtimes."""

from lastbit.witness.files import (
    Witness as Witness,
    read_witness as read_witness,
    write_witness as write_witness,
)
from lastbit.witness.replay import (
    ReplayResult as ReplayResult,
    measure as measure,
    measure_pair as measure_pair,
    replay as replay,
)
from lastbit.witness.search.patches import Patch as Patch
