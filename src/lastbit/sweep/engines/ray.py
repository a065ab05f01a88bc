"""A cluster of machines, or this one, by Ray (extra `ray`)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lastbit.errors import MissingExtraError, PlatformError
from lastbit.sweep.engines.engine import Answers, Came, handed_out
from lastbit.sweep.work import Program, Task, answered

VARIABLE = "RAY_ADDRESS"


@dataclass(frozen=True)
class Ray:
    """The cluster that RAY_ADDRESS names, or one that Ray starts here with so many processes.

    A task whose worker or machine is gone is run again by Ray, elsewhere.
    """

    processes: int
    name: str = "ray"

    @contextmanager
    def start(self, program: Program) -> Iterator[Answers]:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise MissingExtraError("running tasks by Ray", "ray") from error
        ours = not ray.is_initialized()
        try:
            if ours:
                here = {} if os.environ.get(VARIABLE) else {"num_cpus": self.processes}
                ray.init(log_to_driver=False, logging_level="ERROR", **here)
            yield _answers(ray, program)
        except (ConnectionError, ray.exceptions.RayError) as error:
            raise PlatformError(
                f"Ray fails: {str(error).strip().splitlines()[-1]}",
                fix="every machine needs the same lastbit and runtime",
            ) from error
        finally:
            if ours:
                ray.shutdown()


def _answers(ray: Any, program: Program) -> Answers:
    shared = ray.put(program)
    remote = ray.remote(num_cpus=1, max_retries=-1)(answered)
    most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def waited(waiting: Mapping[Any, Task]) -> Came[Any]:
        done, _ = ray.wait([*waiting])
        return [(handle, ray.get(handle)) for handle in done]

    return lambda tasks: handed_out(tasks, most, lambda task: remote.remote(shared, task), waited)
