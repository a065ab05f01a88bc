"""What an engine is: something that starts, takes tasks one by one, and gives answers as they come.

Which worker answers, and in which order, makes no difference to what a sweep finds. A task is taken
from the iterator only when a worker is about to be free, so that it may depend on all answers until
then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from lastbit.errors import LastbitError
from lastbit.sweep.work import Answer, Program, Task

Answers = Callable[[Iterable[Task]], Iterator[tuple[Task, Answer]]]
"""Tasks to pairs of a task and its answer, each once, in any order."""
Handle = TypeVar("Handle", bound=Hashable)
Came = Iterable[tuple[Handle, Answer | LastbitError | None]]
"""What has come of some tasks that were handed out; None of one whose worker is gone."""


class Engine(Protocol):
    """Starts workers for one program; ``name`` is its name on the command line.

    Answers raise what `lastbit.sweep.work.perform` raises, and PlatformError where workers end
    without an answer again and again.
    """

    @property
    def name(self) -> str: ...

    def start(self, program: Program) -> AbstractContextManager[Answers]: ...


def handed_out(
    tasks: Iterable[Task],
    most: int,
    submit: Callable[[Task], Handle],
    wait: Callable[[Mapping[Handle, Task]], Came[Handle]],
) -> Iterator[tuple[Task, Answer]]:
    """Keep so many tasks with workers; one whose worker is gone is handed out again.

    Args:
        tasks: taken one by one.
        most: at a time.
        submit: hands a task out.
        wait: for at least one of those that were handed out.
    """
    left, waiting = iter(tasks), dict[Handle, Task]()
    while True:
        while len(waiting) < most and (task := next(left, None)) is not None:
            waiting[submit(task)] = task
        if not waiting:
            return
        for handle, answer in list(wait(waiting)):
            task = waiting.pop(handle)
            if isinstance(answer, LastbitError):
                raise answer
            if answer is None:
                waiting[submit(task)] = task
            else:
                yield task, answer
