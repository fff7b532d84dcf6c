"""Guarded: grade in a process that has imported nbgrader but not our package, as nbgrader's own commands do.

Called as `python guarded.py CASES`, where CASES is JSON: {name: {"way", "root", "home", "installed"}}. Each case runs
in its own fork, so nbgrader is imported only once, and unchanged in each case. It prints {name: output} as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import nbgrader.apps  # noqa: F401 (imported once, before the forks)
from nbgrader.apps import AutogradeApp, NbGraderAPI
from nbgrader.apps.baseapp import NbGrader

ID = "01_tiny"
CONFIG = Path(__file__).resolve().parent.parent / "autograder" / "jupyter"


def run(case: dict[str, str]) -> None:
    """Grade the class in one of three ways; messages go to standard output."""
    os.chdir(case["root"])
    os.environ |= {"HOME": case["home"], "JUPYTER_CONFIG_DIR": f"{case['home']}/.jupyter"}
    os.environ.pop("JUPYTER_CONFIG_PATH", None)
    os.environ.pop("JUPYTER_NO_CONFIG", None)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "0"  # in every Python the home folder comes first
    if case["installed"]:  # the place where the wheel puts its file; files in the home folder come before it
        import jupyter_core.paths

        jupyter_core.paths.ENV_CONFIG_PATH[:] = [str(CONFIG)]
    else:
        os.environ["JUPYTER_NO_CONFIG"] = "1"
    {"nbgrader autograde": _command, "formgrader": _formgrader, "autograder grade": _grade}[case["way"]]()


def _command() -> None:
    AutogradeApp.launch_instance([ID])


def _formgrader() -> None:
    app = NbGrader()
    app.initialize([])
    print(NbGraderAPI(app.coursedir, parent=app).autograde(ID, "ada"))


def _grade() -> None:
    from autograder.cli import main

    main(["grade", ID, "--quiet"])


def main() -> None:
    cases = json.loads(sys.argv[1])
    said = {}
    for name, case in cases.items():
        out = Path(case["root"]) / "said.txt"
        child = os.fork()
        if child == 0:
            file = os.open(out, os.O_CREAT | os.O_WRONLY)
            os.dup2(file, 1)
            os.dup2(file, 2)
            try:
                run(case)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0)
        said[name] = out.read_text()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
