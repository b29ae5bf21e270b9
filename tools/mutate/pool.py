"""The workers: one process and one copy of the tree each; tasks are handed out in order to who is free."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mutate import tree

Task = TypeVar("Task")
Result = TypeVar("Result")


class Worker:
    """A process that runs tests on a copy of its own."""

    def __init__(self, root: Path, names: Iterable[Path], folder: Path) -> None:
        copy = tree.copy_to(root, names, folder)
        traces = os.environ.get("CLAWVM_TRACES") or str(root.parent / "shared" / "traces")
        environment = {**os.environ, "PYTHONPATH": str(root / "tools"), "CLAWVM_TRACES": traces}
        environment.pop("CI", None)
        self.errors = (folder / "worker.txt").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mutate.worker", str(copy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {Path(self.errors.name).read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
        self.errors.close()


@contextmanager
def workers(root: Path, names: Iterable[Path], folder: Path, count: int) -> Iterator[list[Worker]]:
    """Start `count` workers, and end them."""
    started = [Worker(root, names, folder / str(number)) for number in range(count)]
    try:
        yield started
    finally:
        for worker in started:
            worker.close()


def each(
    started: list[Worker], tasks: Iterable[Task], work: Callable[[Worker, Task], Result]
) -> Iterator[tuple[Task, Result]]:
    """Do every task on some worker and yield it with its result as soon as it is there."""
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Task, Result] | BaseException] = queue.SimpleQueue()
    count = 0
    for task in tasks:
        waiting.put(task)
        count += 1

    def run(worker: Worker) -> None:
        while True:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((task, work(worker, task)))
            except BaseException as error:
                done.put(error)
                return

    for worker in started:
        threading.Thread(target=run, args=(worker,), daemon=True).start()
    for _ in range(count):
        found = done.get()
        if isinstance(found, BaseException):
            raise found
        yield found
