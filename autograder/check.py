"""check("softmax") in a notebook: run a task's public tests on the module beside it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def check(task: str | None = None) -> None:
    """Run the public tests of one task, or of all."""


class attempt:  # reads as a statement: `with attempt():`
    """Let a lesson go on where a function is not written yet: show "not started: softmax", no traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, NotImplementedError):
            return False
        name = str(error).partition(": not started")[0]
        print(f"not started: {name or 'this function'}")
        return True
