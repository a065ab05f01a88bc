"""Behind a linear head: the patch around one pixel, searched for by itself."""

from lastbit.witness.search.patches.patch import Patch as Patch
