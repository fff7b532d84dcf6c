"""`autograder collect`: a platform's bulk download finds its students; no file is guessed, and nothing is lost."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from factory import SOLUTION

from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake.collect import submissions
from autograder.people import Person, save
from autograder.platforms.collecting import collect_download, replaced_folder
from autograder.platforms.downloads import PLATFORMS, own_name, student_of

ID = "01_tiny"
CLASS = (
    Person("ada", "Ada", "Lovelace", lms_user_id="101"),
    Person("grace", "Grace Brewster", "Hopper", lms_user_id="102"),
    Person("joseph", "José", "Núñez", lms_user_id="103"),
    Person("per", "Per", "Lind", lms_user_id="104"),
)
#: how each platform names the module and the zip of these four
NAMES = {
    "canvas": ("lovelaceada_101_9001_tiny.py", "hoppergrace_LATE_102_9002_tiny-2.py", "nunezjose_103_9003_01_tiny.zip"),
    "moodle": (
        "Ada Lovelace_77_assignsubmission_file_/tiny.py",
        "Hopper Grace Brewster_78_assignsubmission_file_tiny.py",
        "Jose\u0301 Nu\u0301n\u0303ez_79_assignsubmission_file_/01_tiny.zip",
    ),
    "blackboard": (
        "Tiny 1_ada_attempt_2027-01-31-15-00-00_tiny.py",
        "Tiny 1_grace_attempt_2027-02-01-08-30-00_tiny.py",
        "Tiny 1_joseph_attempt_2027-01-30-12-00-00_01_tiny.zip",
    ),
}


@pytest.fixture
def course(tmp_path, released):
    shutil.copytree(released.root, tmp_path / "course", symlinks=True)
    course = Course(tmp_path / "course")
    save(course, CLASS)
    return course


def zipped(**files: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{ID}/{name.replace('__', '.')}", text)
    return stream.getvalue()


def put(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def downloaded(folder: Path, platform: str) -> Path:
    ada, grace, jose = NAMES[platform]
    return put(folder, **{ada: "A = 1\n", grace: "G = 1\n", jose: zipped(tiny__py="J = 1\n", **{f"{ID}__ipynb": "{}"})})


def handed_in(course: Course) -> dict[str, str]:
    return {
        path.relative_to(course.submitted).as_posix(): path.read_text()
        for path in sorted(course.submitted.rglob("*"))
        if path.is_file() and path.name != "timestamp.txt"
    }


EXPECTED = {
    f"ada/{ID}/tiny.py": "A = 1\n",
    f"grace/{ID}/tiny.py": "G = 1\n",
    f"joseph/{ID}/{ID}.ipynb": "{}",
    f"joseph/{ID}/tiny.py": "J = 1\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
class TestEachPlatform:
    def test_every_file_finds_its_student(self, course, tmp_path, platform):
        found = collect_download(course, ID, platform, downloaded(tmp_path / "download", platform))

        assert handed_in(course) == EXPECTED
        assert (found.students, found.unmatched, found.missing) == (["ada", "grace", "joseph"], [], ["per"])
        assert [parcel.student for parcel in submissions(course, course.topic(ID))] == found.students

    def test_the_zip_itself_may_be_given(self, course, tmp_path, platform):
        folder = downloaded(tmp_path / "download", platform)
        archive = shutil.make_archive(str(tmp_path / "submissions"), "zip", folder)

        collect_download(course, ID, platform, Path(archive))

        assert handed_in(course) == EXPECTED

    def test_the_zip_may_be_in_the_folder_and_the_download_stays_as_it_is(self, course, tmp_path, platform):
        folder = downloaded(tmp_path / "download", platform)
        (tmp_path / "whole").mkdir()
        archive = Path(shutil.make_archive(str(tmp_path / "whole" / "submissions"), "zip", folder))
        before = archive.read_bytes()

        collect_download(course, ID, platform, archive.parent)

        assert handed_in(course) == EXPECTED
        assert archive.read_bytes() == before
        assert list((course.root / ".autograder").glob("collect-*")) == []

    def test_a_second_time_nothing_changes(self, course, tmp_path, platform):
        folder = downloaded(tmp_path / "download", platform)
        collect_download(course, ID, platform, folder)

        again = collect_download(course, ID, platform, folder)

        assert (again.students, again.same, again.replaced) == ([], ["ada", "grace", "joseph"], [])
        assert handed_in(course) == EXPECTED


@pytest.mark.slow
class TestNothingIsLost:
    def test_an_earlier_hand_in_is_kept_aside(self, course, tmp_path):
        put(course.submitted / "ada" / ID, **{"tiny.py": "OLD = 1\n"})

        found = collect_download(course, ID, "canvas", downloaded(tmp_path / "download", "canvas"))

        assert found.replaced == ["ada"]
        assert (replaced_folder(course, ID) / "ada" / "1" / "tiny.py").read_text() == "OLD = 1\n"
        assert handed_in(course) == EXPECTED

    def test_a_later_hand_in_stays(self, course, tmp_path):
        late = {"tiny.py": "LATER = 1\n", "timestamp.txt": "2027-02-05 10:00:00 UTC"}
        put(course.submitted / "ada" / ID, **late)

        found = collect_download(course, ID, "blackboard", downloaded(tmp_path / "download", "blackboard"))

        assert found.newer == ["ada"]
        assert handed_in(course)[f"ada/{ID}/tiny.py"] == "LATER = 1\n"

    def test_what_belongs_to_nobody_is_named_and_the_command_says_so(self, course, tmp_path, monkeypatch):
        monkeypatch.chdir(course.root)
        folder = put(tmp_path / "download", **{"turingalan_999_1_tiny.py": "", "notes.txt": "", ".DS_Store": ""})

        result = CliRunner().invoke(main, ["collect", ID, "--from", "canvas", str(folder)])

        assert result.exit_code == 1
        assert result.output.splitlines() == [
            "collected: 0 students",
            "no file of: ada, grace, joseph, per",
            f"NOT MATCHED: {folder}/notes.txt (its name is not one of canvas)",
            f"NOT MATCHED: {folder}/turingalan_999_1_tiny.py (nobody in the class has this name)",
        ]

    def test_the_last_attempt_counts_as_a_whole_and_the_earlier_ones_are_named(self, course, tmp_path):
        first, last = "Tiny_ada_attempt_2027-01-30-10-00-00", "Tiny_ada_attempt_2027-01-31-10-00-00"
        folder = put(
            tmp_path / "download",
            **{f"{first}_tiny.py": "ONE = 1\n", f"{first}_other.py": "", f"{last}_tiny.py": "TWO = 1\n",
               f"{first}.txt": "", f"{last}.txt": ""},
        )  # fmt: skip

        found = collect_download(course, ID, "blackboard", folder)

        assert handed_in(course) == {f"ada/{ID}/tiny.py": "TWO = 1\n"}
        assert sorted(why for _, why in found.unused) == ["another tiny.py of ada counts", "of an earlier attempt"]
        stamp = (course.submitted / "ada" / ID / "timestamp.txt").read_text()
        assert stamp.startswith("2027-01-3")

    def test_a_picture_is_not_used_and_named(self, course, tmp_path):
        folder = put(tmp_path / "download", **{"lovelaceada_101_1_tiny.py": "A = 1\n", "lovelaceada_101_1_cat.png": ""})

        found = collect_download(course, ID, "canvas", folder)

        assert found.unused == [
            (f"{folder}/lovelaceada_101_1_cat.png", "only modules, notebooks and archives are examined")
        ]

    def test_a_module_under_another_name_is_collected_for_the_grader_to_say(self, course, tmp_path):
        folder = put(tmp_path / "download", **{"lovelaceada_101_1_answer.py": "A = 1\n"})

        collect_download(course, ID, "canvas", folder)

        (parcel,) = submissions(course, course.topic(ID))
        assert "found answer.py" in parcel.complaints[0]

    def test_a_damaged_archive_stops_nobody(self, course, tmp_path):
        folder = put(
            tmp_path / "download", **{"lovelaceada_101_1_01_tiny.zip": b"PK no", "hopper_102_1_tiny.py": SOLUTION}
        )

        found = collect_download(course, ID, "canvas", folder)

        assert found.students == ["grace"]
        assert "cannot be opened" in found.unused[0][1]

    def test_links_in_a_student_s_archive_are_not_followed(self, course, tmp_path):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            link = tarfile.TarInfo("tiny.py")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
            member = tarfile.TarInfo("../../evil.py")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"X=1\n"))
        folder = put(tmp_path / "download", **{"lovelaceada_101_1_tiny.tar.gz": stream.getvalue()})

        collect_download(course, ID, "canvas", folder)

        assert handed_in(course) == {}


class TestNames:
    @pytest.mark.parametrize(
        ("platform", "name", "student"),
        [
            ("canvas", "whoever_101_5_tiny.py", "ada"),
            ("canvas", "lovelaceada_999_5_tiny.py", ""),
            ("moodle", "Lovelace, Ada_3_assignsubmission_file_tiny.py", "ada"),
            ("moodle", "Participant_3_assignsubmission_file_tiny.py", ""),
            ("blackboard", "01_tiny_per_attempt_2027-01-31-15-00-00_tiny.py", "per"),
            ("blackboard", "01_tiny_super_attempt_2027-01-31-15-00-00_tiny.py", ""),
        ],
    )
    def test_a_name_belongs_to_one_student_or_to_nobody(self, platform, name, student):
        assert student_of(PLATFORMS[platform](name), CLASS)[0] == student

    def test_without_numbers_canvas_s_letters_of_the_name_are_compared(self):
        people = [Person("ada", "Ada", "Lovelace"), Person("grace", "Grace", "Hopper")]

        assert student_of(PLATFORMS["canvas"]("lovelaceada_101_5_tiny.py"), people) == ("ada", "")

    def test_two_students_of_one_name_are_not_chosen_between(self):
        twins = [Person("ada1", "Ada", "Lovelace"), Person("ada2", "Ada", "Lovelace")]

        assert student_of(PLATFORMS["moodle"]("Ada Lovelace_3_assignsubmission_file_tiny.py"), twins) == (
            "",
            "2 students fit: ada1, ada2",
        )

    @pytest.mark.parametrize(
        ("file", "own"),
        [
            ("tiny.py", ("tiny.py", 0)),
            ("tiny-3.py", ("tiny.py", 3)),
            ("Tiny (2).py", ("tiny.py", 2)),
            ("tiny2.py", ("tiny2.py", 0)),
            ("01_tiny-1.ipynb", ("01_tiny.ipynb", 1)),
            ("other.py", ("other.py", 0)),
        ],
    )
    def test_a_number_behind_a_name_is_the_platform_s(self, file, own):
        assert own_name(file, ["tiny.py", "01_tiny.ipynb"]) == own


class TestRefusals:
    def test_without_a_class_there_is_nothing_to_match(self, tmp_path, released):
        shutil.copytree(released.root, tmp_path / "course", symlinks=True)

        with pytest.raises(
            CourseError, match="no class to match names with; run `autograder students import CSV` first"
        ):
            collect_download(Course(tmp_path / "course"), ID, "canvas", tmp_path)

    def test_a_download_that_is_not_there_is_said(self, course, tmp_path):
        with pytest.raises(CourseError, match="nowhere: no such file or folder; give the download of moodle"):
            collect_download(course, ID, "moodle", tmp_path / "nowhere")

    def test_a_file_that_is_no_zip_is_said(self, course, tmp_path):
        (tmp_path / "submissions.zip").write_text("no")

        with pytest.raises(CourseError, match="submissions.zip: cannot be opened .*; download it again"):
            collect_download(course, ID, "moodle", tmp_path / "submissions.zip")
