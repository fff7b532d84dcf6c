"""`autograder watch` in a real terminal, from start to end: saves, keys, and code that never ends."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_check import MODULE, TESTS

import autograder
from autograder.student.watch import watch

pty = pytest.importorskip("pty", reason="a pseudo-terminal is POSIX")

CARD = """
title = "Sums"
module = "sums"
[tasks.double]
title = "Doubling"
names = ["double"]
hints = ["Add it to itself."]
[tasks.halve]
title = "Halving"
names = ["halve"]
"""
READY = "q quit"


class Terminal:
    """A watcher, its screen and its keyboard."""

    def __init__(self, folder: Path) -> None:
        self.screen, side = pty.openpty()
        path = str(Path(autograder.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autograder.cli", "watch"],
            cwd=folder, stdin=side, stdout=side, stderr=side,
            env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "100", "TERM": "xterm"},
        )  # fmt: skip
        os.close(side)
        self.text = ""

    def until(self, pattern: str, patience: float = 120) -> str:
        """Read the screen until it shows `pattern`; return the text since the last call."""
        end = time.monotonic() + patience
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            assert time.monotonic() < end, f"{pattern!r} never came:\n{self.text}"
            if select.select([self.screen], [], [], 0.1)[0]:
                self.text += os.read(self.screen, 65536).decode().replace("\r\n", "\n")
        seen, self.text = self.text[: found.end()], self.text[found.end() :]
        return seen

    def press(self, key: str) -> None:
        os.write(self.screen, key.encode())


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "topic.toml").write_text(CARD)
    (tmp_path / "test_sums.py").write_text(TESTS)
    (tmp_path / "sums.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def terminal(folder) -> Iterator[Terminal]:
    found = Terminal(folder)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    os.close(found.screen)


def test_a_day_with_the_watcher(folder, terminal):
    first = terminal.until(READY)
    assert "Doubling  ██████████  1 of 1 test" in first
    assert "Halving   ░░░░░░░░░░  not started" in first
    assert "1 of 2 tasks pass their public tests" in first

    (folder / "sums.py").write_text(MODULE.replace("return x + x", "return x + 3"))
    saved = terminal.until(READY)
    assert "Running the tests of double ..." in saved
    assert "double: wrong value. Got 5, expected 4." in saved
    assert "Halving" not in saved

    terminal.press("h")
    assert "Doubling: hint 1 of 2\n    Add it to itself." in terminal.until(READY)
    terminal.press("n")
    assert "Running the tests of halve ..." in terminal.until(READY)

    (folder / "sums.py").write_text("def double(x:\n")
    assert "sums.py is not valid Python" in terminal.until(READY)

    terminal.press("q")
    assert terminal.process.wait(20) == 0


def test_a_file_that_an_editor_is_still_writing_is_waited_for(folder, terminal):
    terminal.until(READY)

    with (folder / "sums.py").open("w") as file:
        time.sleep(0.4)
        file.write(MODULE.replace("return x + x", "return x * 2"))

    assert "Running the tests of double ..." in terminal.until(READY)


def test_code_that_hangs_exits_or_kills_leaves_the_watcher_alive(folder, terminal):
    terminal.until(READY)

    (folder / "sums.py").write_text(MODULE.replace("return x + x", "while True: pass"))
    terminal.until(re.escape("Running the tests of double ..."))
    (folder / "sums.py").write_text(MODULE.replace("return x + x", "import os; os._exit(0)"))
    assert "does sums.py end the program, or crash?" in terminal.until(READY)
    (folder / "sums.py").write_text(MODULE.replace("return x + x", "import os; os.kill(os.getpid(), 9)"))
    assert "does sums.py end the program, or crash?" in terminal.until(READY)
    (folder / "sums.py").write_text(MODULE)
    assert "2 of 2 tasks" not in terminal.until("Doubling  ██████████  1 of 1 test.*" + READY)

    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(20) == 0


def test_a_save_of_the_tests_runs_the_task_of_what_changed(folder, terminal):
    terminal.until(READY)

    (folder / "test_sums.py").write_text(TESTS.replace("halve(2), 1.0", "halve(4), 2.0"))

    assert "Running the tests of halve ..." in terminal.until(READY)


def test_outside_of_an_assignment_it_says_where_to_go(tmp_path, capsys):
    assert watch(tmp_path / "nowhere") == 2

    assert "go into the folder of one" in capsys.readouterr().out
