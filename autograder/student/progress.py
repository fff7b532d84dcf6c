"""Progress: which tasks of a module are done, by the trials of its public tests and the topic.toml beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.imports import imports_outside
from autograder.plain import plain
from autograder.student.card import given_modules, modules_of, packages_of, read_card
from autograder.student.trial import Trial


@dataclass(frozen=True)
class TaskProgress:
    """The progress of one task."""

    task: str
    number: str
    title: str
    trials: tuple[Trial, ...]
    points: float | None  #: the points that the public tests of the task can give; None if that is not known
    all_points: float | None  #: the points of the task, hidden tests included

    @property
    def passed(self) -> int:
        return sum(trial.outcome == "passed" for trial in self.trials)

    @property
    def is_done(self) -> bool:
        return self.passed == len(self.trials)

    @property
    def is_here(self) -> bool:
        """False if a package is missing that the task needs."""
        return any(trial.outcome != "not_here" for trial in self.trials)

    @property
    def is_started(self) -> bool:
        return any(trial.outcome != "not_started" for trial in self.trials)

    @property
    def is_wrong(self) -> bool:
        """True if a test failed, and not only because something is not written yet."""
        return any(trial.outcome == "failed" for trial in self.trials)

    @property
    def is_run(self) -> bool:
        """False if no test of the task ran, because the module cannot be imported."""
        return any(trial.outcome == "passed" or trial.place or trial.lesson for trial in self.trials)

    @property
    def is_whole(self) -> bool:
        """True if every public test of the task ran."""
        return len(self.trials) == self.trials[0].task_tests

    @property
    def share(self) -> float:
        """The weight of the passed tests as a share of all tests that ran, from 0 to 1."""
        weight = sum(trial.weight for trial in self.trials)
        passed = sum(trial.weight for trial in self.trials if trial.outcome == "passed")
        return passed / weight if weight else 0

    @property
    def first_fault(self) -> Trial | None:
        """The fault to look at first: a wrong result comes before a function that is not started."""
        failed = [trial for trial in self.trials if trial.outcome != "passed"]
        return min(failed, key=lambda trial: trial.outcome in ("not_started", "not_run"), default=None)


@dataclass(frozen=True)
class Progress:
    """The progress of one topic."""

    title: str
    tasks: tuple[TaskProgress, ...]
    warnings: tuple[str, ...]

    @property
    def next_task(self) -> TaskProgress | None:
        """The first task with a wrong result, else the first begun task, else the first task that is not done."""
        left = [task for task in self.tasks if task.is_here and not task.is_done]
        return min(left, key=lambda task: (not task.is_wrong, not task.is_started), default=None)


def progress(trials: Sequence[Trial], folder: Path, module: str) -> Progress:
    """Sum up the trials of one topic's folder, with the topic.toml beside the tests, if there is one."""
    topic = read_card(folder)
    known: dict[str, Any] = topic.get("tasks", {})
    ids = [task for task in known if any(trial.task == task for trial in trials)]
    ids += [task for task in dict.fromkeys(trial.task for trial in trials) if task not in known]
    return Progress(
        title=str(topic.get("title", module)),
        tasks=tuple(_task(task, known.get(task, {}), trials) for task in ids),
        warnings=_warnings(folder, module, topic),
    )


def _task(task: str, card: dict[str, Any], trials: Sequence[Trial]) -> TaskProgress:
    points, all_points = card.get("public_points"), card.get("points")
    return TaskProgress(
        task=task,
        number=str(card.get("number", "")),
        title=str(card.get("title", task)),
        trials=tuple(trial for trial in trials if trial.task == task),
        points=float(points) if isinstance(points, int | float) else None,
        all_points=float(all_points) if isinstance(all_points, int | float) else None,
    )


def _warnings(folder: Path, module: str, topic: dict[str, Any]) -> tuple[str, ...]:
    if not isinstance(topic.get("imports"), list):
        return ()
    allowed = list(dict.fromkeys(packages_of(topic)))
    packages = ", ".join(["the standard library", *allowed])
    modules = modules_of(topic, module)
    known = ["autograder", *allowed, *modules, *given_modules(topic)]
    return tuple(
        f"{path.name}:{line} imports {plain(name, 80)}, which this topic does not allow ({packages})."
        for path in (folder / f"{name}.py" for name in modules)
        if path.is_file()
        for line, name in imports_outside(path.read_text(encoding="utf-8", errors="replace"), known)
    )
