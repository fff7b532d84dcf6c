"""Build the wheel of this package, and lend a fresh venv the packages that are installed here.

So nothing is downloaded, and what the venv imports of this package is the wheel, and not the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: run by the Python of a fresh venv: what pip would have downloaded is found in another venv, and runs in this one
LEND = """
import pathlib, sys, sysconfig
packages, scripts = sys.argv[1:]
pathlib.Path(sysconfig.get_path("purelib"), "lent.pth").write_text(packages)  # no .pth file there is read
for script in pathlib.Path(scripts).iterdir():
    text = script.read_bytes() if script.is_file() and not script.is_symlink() else b""
    mine = pathlib.Path(sysconfig.get_path("scripts"), script.name)
    if text.startswith(f"#!{scripts}/python".encode()) and not mine.exists():
        mine.write_bytes(text.replace(scripts.encode(), bytes(mine.parent), 1))
        mine.chmod(0o755)
"""


def build_wheel(folder: Path) -> Path:
    """Build the wheel from copies of its sources; returns its path in the folder."""
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    for package in ("autograder", "dlcourse"):
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "VIRTUAL"))}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(sources)]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def lending(folder: Path) -> str:
    """Write the script that lends, and return the command for a shell in which the fresh venv is active."""
    script = folder / "lend.py"
    script.write_text(LEND)
    words = (script, sysconfig.get_path("purelib"), sysconfig.get_path("scripts"))
    return f"python {' '.join(map(str, words))}"
