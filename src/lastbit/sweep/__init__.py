"""The exact largest change over the images that one has, as one program executes the model.

The package can be called: `lastbit.sweep(model, data)` is the function of `lastbit.on_images`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from lastbit.sweep.engines import Engine as Engine, Local as Local, Ray as Ray, cores as cores
from lastbit.sweep.result import Swept as Swept
from lastbit.sweep.run import Goals as Goals, no_limits as no_limits, sweep as sweep
from lastbit.sweep.tally import Found as Found


class _Package(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return import_module("lastbit.on_images").sweep(*arguments, **named)


sys.modules[__name__].__class__ = _Package
