"""The exact largest change over the images that one has, as one program executes the model."""

from lastbit.sweep.engines import Engine as Engine, Local as Local, Ray as Ray, cores as cores
from lastbit.sweep.result import Swept as Swept
from lastbit.sweep.run import Goals as Goals, no_limits as no_limits, sweep as sweep
from lastbit.sweep.tally import Found as Found
