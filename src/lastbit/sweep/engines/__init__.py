"""Who runs the tasks of a sweep: processes of this machine, or Ray."""

from lastbit.sweep.engines.engine import Answers as Answers, Engine as Engine
from lastbit.sweep.engines.local import Local as Local, cores as cores
from lastbit.sweep.engines.ray import Ray as Ray
