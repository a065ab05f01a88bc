"""Processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from lastbit.errors import PlatformError
from lastbit.sweep.engines.engine import Answers, Came, handed_out
from lastbit.sweep.work import Answer, Program, Task, answered, perform

MOST_LOST = 3
"""Times in a row that workers may end before any of them has answered."""
Outcome = Future[Answer | Exception]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    """So many processes; with one, everything happens in this one."""

    processes: int
    name: str = "local"

    @contextmanager
    def start(self, program: Program) -> Iterator[Answers]:
        if self.processes == 1:
            yield lambda tasks: ((task, perform(program, task)) for task in tasks)
            return
        pool = _Pool(program, self.processes)
        try:
            yield pool.answers
        finally:
            pool.stop()


class _Pool:
    """A pool that is started again when a process of it is gone."""

    def __init__(self, program: Program, processes: int) -> None:
        self._program, self._processes = program, processes
        self._lost = 0
        self._executor = self._started()

    def answers(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer]]:
        return handed_out(tasks, 2 * self._processes, self._submit, self._wait)

    def stop(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes, multiprocessing.get_context("spawn"), _prepare, (self._program,)
        )

    def _submit(self, task: Task) -> Future[object]:
        try:
            return self._executor.submit(_answer, task)
        except BrokenProcessPool:
            self._restart()
            return self._executor.submit(_answer, task)

    def _wait(self, waiting: Mapping[Future[object], Task]) -> Came[Future[object]]:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            gone = isinstance(future.exception(), BrokenProcessPool)
            if not gone:
                self._lost = 0
            yield future, None if gone else future.result()  # type: ignore[misc]

    def _restart(self) -> None:
        self._lost += 1
        if self._lost > MOST_LOST:
            raise PlatformError(
                f"worker processes were ended {self._lost} times before any of them had answered",
                fix="is there enough memory for them? take fewer, with --processes",
            )
        self.stop()
        self._executor = self._started()


_program: Program | None = None


def _prepare(program: Program) -> None:
    """In a worker: keep the program, and end with the process that started it."""
    global _program
    _program = program
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _answer(task: Task) -> object:
    assert _program is not None
    return answered(_program, task)
