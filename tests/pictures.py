"""Take the pictures of docs/pictures/: a small class of a real assignment, as its teacher and a student see it.

`make pictures` runs this. It takes some minutes, and writes only the pictures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from browser import FLAGS
from lab import PATIENCE, ROOT, STUDENT, Desk, Formgrader, furnish, lab
from nbgrader.api import Gradebook
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from autograder.authoring.release import release
from autograder.classroom.class_report import write_class_report
from autograder.cohort import cohort
from autograder.course import Course
from autograder.grade import grade

ID = "01_neural_network_basics"
FOLDER = ROOT / "docs" / "pictures"
SIZE = {"width": 1200, "height": 700}
COLUMNS = 92  #: of the terminal
ANSWER = """\
Without an activation two layers are one: `W2 (W1 x + b1) + b2` is a matrix times x plus a vector again. So XOR stays
**out of reach** however many layers there are; ReLU bends the line between the classes."""
NAMES = {
    "amara": ("Amara", "Okafor"), "bjorn": ("Björn", "Lund"), "chen": ("Chen", "Wei"), "dalia": ("Dalia", "Haddad"),
    "emil": ("Emil", "Novak"), "ivo": ("Ivo", "Petrov"), "kofi": ("Kofi", "Mensah"), "mira": ("Mira", "Sen"),
}  # fmt: skip
COMMENT = "Right, and well said. Which activation would be enough for XOR?"


def main() -> None:
    """Make the course in a temporary folder, and take every picture."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        course = _course(Path(folder) / "course")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with lab(course) as url:
            _take_all(course, browser, url)
        browser.close()


def _course(root: Path) -> Course:
    shutil.copytree(ROOT / "assignments" / ID, root / "assignments" / ID)
    course = Course(root)
    furnish(course)
    release(course)
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        for name, (first, last) in NAMES.items():
            book.update_or_create_student(name, first_name=first, last_name=last)
    for student in cohort(course.topic(ID)):
        if student.name in set(NAMES) - {STUDENT}:
            folder = course.submitted / student.name / ID
            folder.mkdir(parents=True)
            for name, content in student.files.items():
                (folder / name).write_bytes(content)
    return course


def _module_of(course: Course, name: str) -> bytes:
    """Return the module that one of the invented students has written."""
    topic = course.topic(ID)
    (student,) = (student for student in cohort(topic) if student.name == name)
    return student.files[f"{topic.module}.py"]


def _take_terminal(course: Course, browser: Browser) -> None:
    """Run pytest in the folder of a student whose module has one fault that a public test finds."""
    folder = course.root / "alone" / ID
    shutil.copytree(course.release / ID, folder)
    (folder / f"{course.topic(ID).module}.py").write_bytes(_module_of(course, "dalia"))
    command = [sys.executable, "-m", "pytest", "--color=yes"]
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    for _ in range(2):  # in the second run everything is compiled
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    screen = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    screen.print(Text.from_ansi("$ pytest\n" + run.stdout[run.stdout.index("collected") :]))
    page = browser.new_page(viewport=SIZE)
    page.set_content(screen.export_html(theme=MONOKAI, inline_styles=True))
    page.add_style_tag(content="pre { display: inline-block; padding: 12px 18px; font-size: 14px }")
    page.locator("pre").screenshot(path=FOLDER / "pytest.png")
    _shrink(FOLDER / "pytest.png")


def _take_report(course: Course, browser: Browser) -> None:
    """Take the top of the class report, after the class is graded."""
    written = write_class_report(course, ID, course.root / "class_report")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(next(path for path in written if path.suffix == ".html").resolve().as_uri())
    _save(page, "class_report", height=900)


def _take_all(course: Course, browser: Browser, url: str) -> None:
    topic = course.topic(ID)
    module = _module_of(course, "dalia")
    _take_terminal(course, browser)
    teacher = Formgrader(browser.new_page(viewport=SIZE), url)
    teacher.press("release", ID)
    student = Desk(browser.new_page(viewport=SIZE), url)
    student.press("Fetch", then="Submit")
    (course.root / "desk" / ID / f"{topic.module}.py").write_bytes(module)
    cells = student.open_lesson(f"desk/{ID}/{ID}.ipynb")
    task = cells.filter(has_text=f'check("{topic.tasks[0].id}")').first
    expect(task.locator(".jp-OutputArea-output").first).to_be_visible(timeout=PATIENCE)
    student.run("application:toggle-left-area")
    task.scroll_into_view_if_needed()
    _save(student.page, "lesson")
    student.write(cells.filter(has_text="YOUR ANSWER HERE").first, ANSWER)
    student.press("Submit", then="Fetch Feedback")
    _save(student.page, "assignments", height=380)

    teacher.press("collect", ID)
    grade(course, ID, (), None, is_quiet=True)
    _take_report(course, browser)
    teacher.row(STUDENT, f"manage_submissions/{ID}")
    _save(teacher.page, "formgrader")
    teacher.open_submission(ID, STUDENT)
    answer = teacher.page.locator(".nbgrader_cell", has_text="Without an activation two").first
    field = answer.locator("input.score")
    question = str(field.get_attribute("id"))
    teacher.fill(question, "4.5")
    teacher.fill(f"{question}-comment", COMMENT)
    answer.scroll_into_view_if_needed()
    _save(teacher.page, "grading")
    teacher.press("generate-feedback", STUDENT, f"manage_submissions/{ID}")
    teacher.page.goto((course.root / "feedback" / STUDENT / ID / f"{ID}.html").as_uri() + f"#{topic.tasks[0].id}")
    _save(teacher.page, "feedback")


def _save(page: Page, name: str, height: int = SIZE["height"]) -> None:
    """Write one picture, cut to the part that is filled."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    page.bring_to_front()
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": height})
    _shrink(path)


def _shrink(path: Path) -> None:
    """Keep few colours, because the picture shows text."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
