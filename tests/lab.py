"""Lab: JupyterLab in a scratch course, with a student's folder inside it, and a person's actions in nbgrader's pages.

One user has both roles: the server runs in the course's root, and the assignment list fetches into `desk/`.

    with lab(course) as url:
        formgrader = Formgrader(page, url)
        formgrader.press("01_tiny", "release")
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from autograder.course import Course

ROOT = Path(__file__).resolve().parent.parent
STUDENT = "amara"  #: the student who hands in from the desk
PATIENCE = 90_000  #: milliseconds for a step that may examine a submission on a busy machine
_QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
#: the page is loaded, with its scripts and all that they ask for
_GRADES_ARE_LOADED = (
    "() => typeof formgrader !== 'undefined' && formgrader.grades?.loaded && formgrader.comments?.loaded"
)
_KERNEL_IS_IDLE = """() => {
    const kernel = window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel
    return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
}"""
_DESK = """
c = get_config()
c.CourseDirectory.course_id = "deep_learning"
c.CourseDirectory.student_id = {student!r}
c.Exchange.root = {exchange!r}
c.Exchange.assignment_dir = {desk!r}
"""


def furnish(course: Course) -> Path:
    """Give a course nbgrader's configuration, an exchange and a student's desk; returns the desk."""
    desk, exchange = course.root / "desk", course.root / "exchange"
    for folder, mode in ((desk, 0o755), (exchange, 0o777)):
        folder.mkdir()
        folder.chmod(mode)
    text = _DESK.format(exchange=str(exchange), desk=str(desk), student=STUDENT)
    (desk / "nbgrader_config.py").write_text(text)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (course.root / "nbgrader_config.py").write_text(f"{config}c.Exchange.assignment_dir = {str(desk)!r}\n")
    return desk


@contextmanager
def lab(course: Course) -> Iterator[str]:
    """Run a JupyterLab at the course's root; yields its address, with a token."""
    home = course.root.parent / "home"
    settings = home / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps(_QUIET))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}",
               "--IdentityProvider.token=t", "--LabApp.expose_app_in_browser=True"]  # fmt: skip
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    log = course.root.parent / "server.log"
    with open(log, "w") as stream:
        server = subprocess.Popen(command, cwd=course.root, env=environment, stdout=stream, stderr=stream)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token=t", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the server does not answer: {log.read_text()}") from error
            time.sleep(0.2)


class Formgrader:
    """A teacher who uses the formgrader."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, f"{url}/formgrader"
        page.set_default_timeout(PATIENCE)
        page.goto(f"{self.url}?token=t")

    def row(self, of: str, path: str = "manage_assignments") -> Locator:
        """Open one of the formgrader's lists; returns the row of an assignment or a student."""
        self.page.bring_to_front()
        self.page.goto(f"{self.url}/{path}")
        row = self.page.locator("#main-table tr", has_text=of)
        expect(row).to_be_visible(timeout=PATIENCE)
        return row

    def press(self, button: str, of: str, path: str = "manage_assignments") -> Locator:
        """Press a row's button, and wait until nbgrader reports success; returns the row as it is then."""
        self.row(of, path).locator(f".{button} a").click()
        said = self.page.locator("#success-modal, #error-modal")
        said.wait_for()
        assert said.get_attribute("id") == "success-modal", said.inner_text()
        return self.row(of, path)

    def open_submission(self, assignment: str, student: str) -> None:
        """Open the page on which a submission is graded by hand."""
        self.row(student, f"gradebook/{assignment}/{assignment}").locator(".name a:visible").click()
        self.page.wait_for_function(_GRADES_ARE_LOADED)

    def fill(self, field: str, text: str) -> None:
        """Write points or a comment into a field, and wait until they are saved."""
        with self.page.expect_response(lambda answer: answer.request.method == "PUT") as saved:
            self.page.locator(f"#{field}").fill(text)
            self.page.locator(f"#{field}").blur()
        assert saved.value.ok


class Desk:
    """A student who uses JupyterLab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}/lab?token=t&reset")
        page.wait_for_function("() => window.jupyterapp")
        page.wait_for_function("() => window.jupyterapp.restored.then(() => true)")

    def run(self, command: str, **arguments: str) -> None:
        """Start one of JupyterLab's commands, as its menus and its palette do."""
        self.page.bring_to_front()  # a page in the background paints nothing, and would wait for ever
        self.page.evaluate(
            "([command, arguments]) => { window.jupyterapp.commands.execute(command, arguments) }",
            [command, arguments],
        )

    def press(self, button: str, then: str) -> None:
        """Press a button of the assignment list, and wait for its effect."""
        self.run("nbgrader:open-assignment-list")
        self.page.get_by_role("button", name=button, exact=True).click()
        self.page.get_by_text(then, exact=True).first.wait_for()

    def open_lesson(self, path: str) -> Locator:
        """Open a notebook and run it from top to bottom; returns its cells."""
        self.run("docmanager:open", path=path)
        self.page.wait_for_function(_KERNEL_IS_IDLE)
        self.run("notebook:run-all-cells")
        return self.page.locator(".jp-NotebookPanel .jp-Cell")

    def write(self, cell: Locator, text: str) -> None:
        """Replace the text of a text cell, and save the notebook."""
        cell.dblclick()
        cell.locator(".cm-content").fill(text)
        with self.page.expect_response(lambda answer: answer.request.method == "PUT") as saved:
            self.run("docmanager:save")
        assert saved.value.ok
