"""Every parcel can be opened, whatever it holds; a sentence says what is wrong with it."""

import gzip
import io
import os
import resource
import tarfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from factory import SOLUTION, make_course

from autograder.errors import SubmissionError
from autograder.grading.intake import parcel as room
from autograder.grading.intake.collect import collect, submissions
from autograder.grading.mark import integrity
from autograder.grading.run import proxy
from autograder.limits import MODULE_BYTES
from autograder.stub import stub_of

CODE = b"def double(x):\n    return 2 * x\n"


@pytest.fixture
def topic(tmp_path):
    return make_course(tmp_path / "course").topic("01_tiny")


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def zip_of(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_folder_gives_its_module_and_the_student_of_its_place(tmp_path, topic):
    parcel = folder_of(tmp_path / "submitted/ada/01_tiny", {"tiny.py": CODE, "notes.txt": b"hello"})

    found = collect(parcel, topic)

    assert (found.student, found.assignment, found.source, found.complaints) == ("ada", "01_tiny", CODE, ())


def test_a_zip_and_a_tar_give_the_module_in_folders(tmp_path, topic):
    packed = zip_of(tmp_path / "ada.zip", {"a/b/tiny.py": CODE})
    rolled = tar_of(tmp_path / "bob.tar.gz", [(member("a/b/tiny.py"), CODE)])

    assert collect(packed, topic).source == collect(rolled, topic).source == CODE
    assert [collect(path, topic).student for path in (packed, rolled)] == ["ada", "bob"]


def test_a_module_itself_is_a_parcel(tmp_path, topic):
    parcel = folder_of(tmp_path / "ada", {"tiny.py": CODE}) / "tiny.py"

    assert (collect(parcel, topic).source, collect(parcel, topic).student) == (CODE, "ada")


def test_a_module_under_another_name_is_taken_and_told(tmp_path, topic):
    parcel = folder_of(tmp_path, {"answer.py": CODE}) / "answer.py"

    found = collect(parcel, topic, "ada")

    assert found.source == CODE
    assert found.complaints == ("answer.py was taken as tiny.py; use that name next time",)


def test_a_path_without_anything_is_an_error(tmp_path, topic):
    with pytest.raises(SubmissionError, match="no such file or folder; give a folder"):
        collect(tmp_path / "nowhere", topic)


@pytest.mark.parametrize(
    "name",
    [
        "tiny (1).py", "tiny(2).py", "tiny-1.py", "tiny copy.py", "tiny - Copy.py", "Tiny (1).py", "Tiny.py", "tiny.PY",
        "tiny_final.py", "Copy of tiny.py", "tiny 2.py", "tiny2.py", "tiny - Kopie.py", "Kopie von tiny.py",
        "tiny - コピー.py", "tiny - 副本.py", "tiny的副本.py", "ada_tiny_v3.py",
    ],
)  # fmt: skip
def test_one_copy_with_a_browsers_suffix_is_taken_and_told(tmp_path, topic, name):
    found = collect(folder_of(tmp_path / "ada", {name: CODE}), topic)

    assert found.source == CODE
    assert "was taken as tiny.py" in found.complaints[0]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"tinny.py": CODE}, "no tiny.py; found tinny.py"),
        ({"01_tiny.ipynb": b"{}"}, "no tiny.py; found 01_tiny.ipynb"),
        ({"tiny (1).py": CODE, "tiny (2).py": CODE + b"#"}, "no tiny.py, but 2 copies"),
        ({"work.zip": b"PK"}, "only an archive inside the parcel"),
        ({"a/b/c/d/tiny.py": CODE}, "the parcel holds no file"),
        ({"readme.txt": b""}, "the parcel holds readme.txt"),
        ({}, "the parcel holds no file"),
        ({"a/tiny.py": CODE, "b/tiny.py": b"pass"}, "2 different files are named tiny.py"),
        ({"tiny.py": b"#" * 1_000_001}, "larger than 512 KB"),
        ({"__MACOSX/tiny.py": CODE, ".ipynb_checkpoints/tiny.py": CODE}, "the parcel holds no file"),
    ],
)
def test_a_folder_without_one_module_says_what_it_holds(tmp_path, topic, files, sentence):
    parcel = tmp_path / "ada"
    parcel.mkdir()

    found = collect(folder_of(parcel, files), topic)

    assert found.source is None
    assert sentence in found.complaints[0]


@pytest.mark.parametrize("name", ["homework.py", "Kopie von meiner Abgabe.py", "src/main.py"])
def test_the_only_file_that_defines_what_is_asked_for_is_taken_under_any_name(tmp_path, topic, name):
    parcel = {name: SOLUTION.encode(), "helpers.py": b"def double(x): ...", "test_tiny.py": b"from tiny import Halver"}

    found = collect(folder_of(tmp_path / "ada", parcel), topic)

    assert found.source == SOLUTION.encode()
    assert found.complaints == (f"{name} was taken as tiny.py; use that name next time",)


def test_two_files_that_define_what_is_asked_for_are_named_unless_one_is_not_started(tmp_path, topic):
    worked, stub = SOLUTION.encode(), stub_of(topic).encode()
    two = collect(folder_of(tmp_path / "ada", {"a.py": worked, "b.py": worked + b"#"}), topic)
    one = collect(folder_of(tmp_path / "bob", {"a.py": stub, "b.py": worked}), topic)

    assert (two.source, two.complaints) == (
        None,
        ("no tiny.py, but 2 copies (a.py, b.py); hand in one file of that name",),
    )
    assert (one.source, one.complaints) == (worked, ("b.py was taken as tiny.py; use that name next time",))


@pytest.mark.parametrize("name", ["tiny (1).py", "tiny_final.py", "old/tiny.py", "homework.py"])
def test_a_stub_beside_a_worked_copy_is_not_taken(tmp_path, topic, name):
    parcel = folder_of(tmp_path / "ada", {"tiny.py": stub_of(topic).encode(), name: SOLUTION.encode()})

    found = collect(parcel, topic)

    assert found.source == SOLUTION.encode()
    assert found.complaints[-1] == (
        f"nothing is written in tiny.py, so {name} was taken as tiny.py; hand in one file, named tiny.py"
    )


def test_a_stub_beside_two_worked_copies_is_not_taken_without_a_word(tmp_path, topic):
    worked = {"tiny (1).py": SOLUTION.encode(), "tiny (2).py": SOLUTION.encode() + b"#"}

    found = collect(folder_of(tmp_path / "ada", {"tiny.py": stub_of(topic).encode()} | worked), topic)

    assert found.source is None
    assert "nothing is written in tiny.py, and 2 other files are worked on" in found.complaints[0]


def test_a_stub_alone_or_a_module_that_is_begun_is_taken_as_it_is(tmp_path, topic):
    stub = stub_of(topic).encode()
    begun = stub.replace(b'raise NotImplementedError("double: not started")', b"return 2 * x")
    assert begun != stub

    alone = collect(folder_of(tmp_path / "ada", {"tiny.py": stub}), topic)
    beside = collect(folder_of(tmp_path / "bob", {"tiny.py": begun, "tiny (1).py": SOLUTION.encode()}), topic)

    assert (alone.source, alone.complaints) == (stub, ())
    assert (beside.source, beside.complaints) == (begun, ())


def test_a_module_three_folders_deep_and_behind_backslashes_is_found(tmp_path, topic):
    deep = zip_of(tmp_path / "ada.zip", {"a/b/c/tiny.py": CODE})
    windows = zip_of(tmp_path / "bob.zip", {"home\\01_tiny\\tiny.py": CODE})
    outside = zip_of(tmp_path / "eve.zip", {"..\\tiny.py": CODE})

    assert collect(deep, topic).source == collect(windows, topic).source == CODE
    assert "leads out of the parcel" in collect(outside, topic).complaints[0]


def test_the_module_nearest_the_top_is_taken(tmp_path, topic):
    found = collect(folder_of(tmp_path / "ada", {"tiny.py": CODE, "old/tiny.py": b"pass"}), topic)

    assert found.source == CODE
    assert "2 files are named tiny.py; the one nearest the top, tiny.py, was taken" in found.complaints[0]


def test_the_same_module_twice_is_one(tmp_path, topic):
    found = collect(folder_of(tmp_path / "ada", {"a/tiny.py": CODE, "b/tiny.py": CODE}), topic)

    assert (found.source, found.complaints) == (CODE, ())


def test_a_symbolic_link_is_refused(tmp_path, topic):
    secret = folder_of(tmp_path, {"secret.py": CODE}) / "secret.py"
    parcel = tmp_path / "ada"
    parcel.mkdir()
    (parcel / "tiny.py").symlink_to(secret)

    found = collect(parcel, topic)

    assert found.source is None
    assert found.complaints == ("tiny.py: a symbolic link; hand in a plain file",)


def test_a_hard_link_is_refused(tmp_path, topic):
    secret = folder_of(tmp_path, {"secret.py": CODE}) / "secret.py"
    parcel = tmp_path / "ada"
    parcel.mkdir()
    os.link(secret, parcel / "tiny.py")

    assert "a hard link" in collect(parcel, topic).complaints[0]


def test_a_pipe_and_a_folder_of_that_name_are_refused_without_waiting(tmp_path, topic):
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "ada/tiny.py")
    (tmp_path / "bob/tiny.py").mkdir()

    assert "not a plain file" in collect(tmp_path / "ada", topic).complaints[0]
    assert "no tiny.py" in collect(tmp_path / "bob", topic).complaints[0]


def test_a_linked_folder_in_submitted_is_not_followed(tmp_path):
    course = make_course(tmp_path)
    folder_of(course.submitted / "ada/01_tiny", {"tiny.py": CODE})
    (course.submitted / "bob").mkdir()
    (course.submitted / "bob/01_tiny").symlink_to(course.submitted / "ada/01_tiny")

    ada, bob = submissions(course, course.topic("01_tiny"))

    assert (ada.student, ada.source) == ("ada", CODE)
    assert (bob.student, bob.source) == ("bob", None)
    assert "a symbolic link" in bob.complaints[0]


@pytest.mark.parametrize("name", ["/tiny.py", "../tiny.py", "a/../../tiny.py", "C:/tiny.py"])
def test_a_path_out_of_an_archive_is_refused(tmp_path, topic, name):
    packed = zip_of(tmp_path / "ada.zip", {name: CODE})
    rolled = tar_of(tmp_path / "bob.tgz", [(member(name), CODE)])

    for parcel in (packed, rolled):
        found = collect(parcel, topic)
        assert found.source is None
        assert "leads out of the parcel" in found.complaints[0]


def test_links_and_devices_in_archives_are_refused(tmp_path, topic):
    info = zipfile.ZipInfo("tiny.py")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    kinds = [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "not a plain"),
    ]

    assert "a symbolic link" in collect(tmp_path / "ada.zip", topic).complaints[0]
    for kind, words in kinds:
        parcel = tar_of(tmp_path / "bob.tar.gz", [(member("tiny.py", kind, "/etc/passwd"), b"")])
        assert words in collect(parcel, topic).complaints[0]


def test_an_encrypted_archive_is_refused(tmp_path, topic):
    parcel = zip_of(tmp_path / "ada.zip", {"tiny.py": CODE}, zipfile.ZIP_STORED)
    data = bytearray(parcel.read_bytes())
    data[data.find(b"PK\x03\x04") + 6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    parcel.write_bytes(data)

    assert "encrypted" in collect(parcel, topic).complaints[0]


def test_bombs_are_not_unpacked(tmp_path, topic, monkeypatch):
    monkeypatch.setattr(room, "STREAM_BYTES", 1_000_000)
    bomb = zip_of(tmp_path / "ada.zip", {"tiny.py": bytes(10_000_000)})
    rolled = tar_of(tmp_path / "bob.tar.gz", [(member("data.bin"), bytes(3_000_000)), (member("tiny.py"), CODE)])

    assert "packed more than 200 to 1" in collect(bomb, topic).complaints[0]
    assert "unpacks to more than 1 MB" in collect(rolled, topic).complaints[0]


def test_too_many_files_are_refused(tmp_path, topic, monkeypatch):
    monkeypatch.setattr(room, "MEMBERS", 3)
    parcel = zip_of(tmp_path / "ada.zip", {f"{number}.txt": b"" for number in range(4)})

    assert "more than 3 files" in collect(parcel, topic).complaints[0]


@pytest.mark.parametrize("name", ["ada.zip", "ada.tar.gz", "ada.tgz"])
@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"PK\x05\x06" + b"\xff" * 18],
    ids=["empty", "text", "gzip", "zip"],
)
def test_a_broken_archive_is_a_sentence(tmp_path, topic, name, data):
    (tmp_path / name).write_bytes(data)

    found = collect(tmp_path / name, topic)

    assert (found.student, found.source) == ("ada", None)
    assert len(found.complaints) == 1


def test_a_cut_off_archive_is_a_sentence(tmp_path, topic):
    whole = tar_of(tmp_path / "ada.tar.gz", [(member("tiny.py"), os.urandom(50_000))]).read_bytes()

    for end in range(1, len(whole) - 10_000, 5_000):
        (tmp_path / "bob.tar.gz").write_bytes(whole[:end])
        found = collect(tmp_path / "bob.tar.gz", topic)
        assert (found.source, len(found.complaints)) == (None, 1)


def test_a_parcel_of_another_kind_is_a_sentence(tmp_path, topic):
    (tmp_path / "ada.rar").write_bytes(b"Rar!")

    assert "not a parcel that can be opened" in collect(tmp_path / "ada.rar", topic).complaints[0]


def test_names_are_shown_without_steering_a_terminal(tmp_path, topic):
    parcel = folder_of(tmp_path / "ada", {"\x1b[2Jwipe\u202e.py": CODE, "n" * 200 + ".py": CODE})

    complaint = collect(parcel, topic).complaints[0]

    assert complaint.isprintable()
    assert len(complaint) < 300


def test_a_parcel_is_left_as_it_was(tmp_path, topic):
    parcel = zip_of(tmp_path / "ada.zip", {"tiny.py": CODE})
    before = (parcel.read_bytes(), sorted(tmp_path.iterdir()))

    collect(parcel, topic)

    assert (parcel.read_bytes(), sorted(tmp_path.iterdir())) == before


def extended(body: bytes) -> bytes:
    """A .tar.gz whose module has an extended header of these bytes; no tar program writes such a header."""
    parts = []
    for name, kind, data in (("x", tarfile.XHDTYPE, body), ("tiny.py", tarfile.REGTYPE, CODE)):
        info = member(name, kind)
        info.size = len(data)
        parts += [info.tobuf(tarfile.USTAR_FORMAT), data + bytes(-len(data) % 512)]
    return gzip.compress(b"".join([*parts, bytes(1024)]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"0" * 1_000_000, "headers that are too long"),
        (b"".join(b"%d %s=%s\n" % (len(key) + len(value) + 5, key, value) for key, value in (
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))), "a sparse file"),
        (b"20 GNU.sparse.map=1\n", "a sparse file"),
    ],
)  # fmt: skip
def test_headers_that_take_an_hour_to_read_are_refused(tmp_path, topic, body, words):
    (tmp_path / "ada.tar.gz").write_bytes(extended(body))

    assert words in collect(tmp_path / "ada.tar.gz", topic).complaints[0]


def test_a_long_name_in_any_script_is_no_such_header(tmp_path, topic):
    folder = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 90
    parcel = tar_of(tmp_path / "ada.tar.gz", [(member(f"{folder}/tiny.py"), CODE)])

    assert collect(parcel, topic).source == CODE


def test_folders_without_end_in_an_archive_are_refused(tmp_path, topic, monkeypatch):
    monkeypatch.setattr(room, "MEMBERS", 3)
    parcel = tar_of(tmp_path / "ada.tar.gz", [(member(f"d{n}", tarfile.DIRTYPE), b"") for n in range(10)])
    packed = zip_of(tmp_path / "bob.zip", {f"d{n}/": b"" for n in range(10)})

    assert "more than 3 files" in collect(parcel, topic).complaints[0]
    assert "more than 3 files" in collect(packed, topic).complaints[0]


def test_the_same_name_twice_in_a_zip_is_one_file_or_none(tmp_path, topic):
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr("tiny.py", CODE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("tiny.py", CODE + b"# another\n")

    found = collect(tmp_path / "ada.zip", topic)

    assert found.source is None
    assert "2 different files are named tiny.py" in found.complaints[0]


@pytest.mark.parametrize(
    "name",
    [
        "TINY.PY",
        "Tiny.py",
        "tiny\N{ZERO WIDTH SPACE}.py",
        "\N{FULLWIDTH LATIN SMALL LETTER T}iny.py",
        "tiny.py ",
        "tiny.py.",
    ],
)
def test_a_name_that_only_looks_like_the_modules_is_not_taken(tmp_path, topic, name):
    found = collect(zip_of(tmp_path / "ada.zip", {name: b"evil", "x/tiny.py": CODE}), topic)

    assert found.source == CODE


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_is_packed_in_an_unusual_way_is_refused(tmp_path, topic, kind):
    submission = collect(zip_of(tmp_path / "ada.zip", {"tiny.py": CODE}, kind), topic)

    assert submission.source is None
    assert "packed in an unusual way; pack it as an ordinary zip" in submission.complaints[0]


def test_a_dictionary_of_four_gigabytes_costs_no_memory(tmp_path, topic):
    path = zip_of(tmp_path / "ada.zip", {"tiny.py": CODE * 1000}, zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    at = data.index(b"tiny.py") + len("tiny.py") + 4  # version, size, then the properties
    data[at + 1 : at + 5] = b"\xff\xff\xff\xff"
    path.write_bytes(data)

    with little_memory():
        submission = collect(path, topic)

    assert submission.source is None
    assert "ordinary zip" in submission.complaints[0]


def test_thousands_of_modules_in_one_parcel_are_not_all_read(tmp_path, topic):
    many = {f"{number}/tiny.py": b"#" * 400_000 for number in range(100)}

    submission = collect(zip_of(tmp_path / "ada.zip", many), topic)

    assert submission.complaints == ("100 files are named tiny.py; hand in one",)


def test_a_folder_of_folders_without_end_is_refused(tmp_path, topic, monkeypatch):
    monkeypatch.setattr(room, "MEMBERS", 30)
    for number in range(100):
        (tmp_path / "ada" / str(number)).mkdir(parents=True)

    submission = collect(tmp_path / "ada", topic)

    assert "more than 30 files" in submission.complaints[0]


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"", mtime=0) * 1_200_000,
        b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"a" * 24_000_000,
        gzip.compress(bytes(99_000_000), mtime=0),
    ],
    ids=["headers", "a name", "zeros"],
)
def test_a_gzip_of_nothing_but_headers_or_zeros_is_read_at_once(tmp_path, topic, data):
    (tmp_path / "ada.tar.gz").write_bytes(data)
    begin = time.process_time()

    submission = collect(tmp_path / "ada.tar.gz", topic)

    assert (submission.source, len(submission.complaints)) == (None, 1)
    assert time.process_time() - begin < 5


def test_a_module_has_one_greatest_size_for_all_who_look_at_it(tmp_path, topic):
    fits, larger = b"#" * MODULE_BYTES, b"#" * (MODULE_BYTES + 1)
    (tmp_path / "tiny.py").write_bytes(larger)

    assert "tiny.py: larger than 512 KB" in collect(tmp_path / "tiny.py", topic).complaints[0]
    (tmp_path / "tiny.py").write_bytes(fits)
    assert collect(tmp_path / "tiny.py", topic).source == fits
    assert integrity.MODULE_BYTES == proxy.MODULE_BYTES == MODULE_BYTES


@contextmanager
def little_memory():
    """Within this block the process may take 300 MB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
