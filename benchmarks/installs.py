"""Installs: how long each set of extras takes to install, and how much room it takes on the disk.

    python -m benchmarks.installs            # writes the table into docs/installs.md

Each set is installed into a new environment, under the versions of constraints.txt, with an empty cache of pip. CPU
seconds are those of pip, which also compiles each module. How long the download takes depends on the network.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.tables import write_table

ROOT = Path(__file__).parent.parent
#: who installs it, and the extras
SETS = (
    ("a student, NumPy assignments without notebooks", ""),
    ("a student, NumPy assignments", "lessons"),
    ("a student, all assignments", "lessons,torch"),
    ("a grader, without notebooks", "teacher,torch"),
    ("a teacher", "lessons,teacher,torch"),
    ("a developer", "dev"),
)


def measured(extras: str) -> tuple[float, float, int]:
    """Install one set; returns its CPU seconds, its MB on the disk, and how many packages it has."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "venv"
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        python = home / "bin" / "python"
        what = f"{ROOT}[{extras}]" if extras else str(ROOT)
        began = _cpu_seconds()
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "-c", ROOT / "constraints.txt", what],
            check=True,
        )
        seconds = _cpu_seconds() - began
        size = sum(path.lstat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink())
        listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], capture_output=True, check=True)
        return seconds, size / 1e6, len(listed.stdout.splitlines())


def _cpu_seconds() -> float:
    """The CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table() -> list[str]:
    """Return the lines of the table of all sets."""
    machine = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}, {date.today()}"
    rows = [f"Measured by `python -m benchmarks.installs` on {machine}:", ""]
    rows += [
        "| who | `pip install -c constraints.txt` | packages | MB on the disk | CPU s |",
        "|---|---|---|---|---|",
    ]
    for who, extras in SETS:
        seconds, size, packages = measured(extras)
        command = f"'.[{extras}]'" if extras else "."
        rows.append(f"| {who} | `{command}` | {packages} | {size:,.0f} | {seconds:.0f} |")
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    write_table("installs.md", "measured", table())
