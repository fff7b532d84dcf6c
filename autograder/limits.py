"""Limits: every bound on what a submission may use or hold, and on every waiting time, each with its unit.

Bounds for both sides of the wall are in sandbox/both/limits.py, because code in the box imports nothing else. The
budgets that an assignment may set are in topic.py; their usual values are here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from autograder.sandbox.both.limits import BODY_BYTES
from autograder.sandbox.both.limits import PROCESSES as PROCESSES

# --- a parcel: what a student hands in -------------------------------------------------------------------------------
MODULE_BYTES = 1 << 19  #: bytes of a module; a larger one is neither handed in, read nor run
PARCEL_BYTES = 25_000_000  #: bytes of an archive, as it is
STREAM_BYTES = 100_000_000  #: bytes that are unpacked to find the module: an archive may be a bomb
RATIO = 200  #: times its packed size that a module may have: more is a bomb
MEMBERS = 10_000  #: entries of a parcel that are looked at
HEADER_BYTES = 2_000  #: bytes of the long name and the times of one entry of an archive
HEADERS_BYTES = 300_000  #: bytes of the long names and times of all its entries
DEPTH = 3  #: folders that may be above the module
COPIES = 10  #: files that may be the module, and are compared and parsed
LOOKED_AT = 100  #: Python files in which the names that the tasks ask for are looked for
RECORDED_ENTRIES = 1_000  #: entries of a parcel whose times are kept; a larger parcel is recorded each time

# --- what an author hands out ----------------------------------------------------------------------------------------
GIVEN_BYTES = 50_000_000  #: bytes of all given files of an assignment: every student gets them
GIVEN_FILES = 2_000  #: given files of an assignment: every worker gets a link to each of them

# --- a written answer ------------------------------------------------------------------------------------------------
NOTEBOOK_BYTES = 25_000_000  #: bytes of a student's notebook that are read
NOTEBOOK_PARTS = 2_000_000  #: commas and brackets of a notebook: each may become an object of 150 bytes
ANSWER_LETTERS = 20_000  #: characters of one answer that are kept and shown: some 3,000 words
ANSWER_SECONDS = 1.0  #: CPU seconds to turn one answer into HTML: 20,000 ordinary characters take 0.1
ATTACHMENT_BYTES = 2_000_000  #: bytes, in base64, of the pictures of one answer
PIXELS = 25_000_000  #: pixels of one picture: a page of A4 at 400 dpi has 15 million
FORMULAS = 300  #: formulas of one answer that are typeset
FORMULA_LETTERS = 2_000  #: characters of one formula that is typeset
FORMULA_NESTING = 40  #: braces within each other in one formula

# --- a worker, and a submission over all its workers -----------------------------------------------------------------
MEMORY_MB = 3_072  #: MB of memory of a worker: torch alone maps more than one GB
SCRATCH_MB, SCRATCH_FILES = 64, 4_096  #: MB, and files, that a worker may write
TEST_BYTES = BODY_BYTES  #: bytes that a submission may return in one test
SUBMISSION_BYTES = 4 * TEST_BYTES  #: bytes that it may return in all tests
FRAME_BYTES = 256 << 20  #: bytes of one answer
UNSET_SECONDS = 3_600  #: CPU seconds of a submission for which no assignment sets a budget
ANSWER_BYTES = 2 * FRAME_BYTES  #: bytes that the arrays of one answer may take in the judge
HANDLES = 20_000  #: objects of the student that one answer may name
IDLE_SECONDS = 30.0  #: seconds that a submission may wait without computing, over all its tests
TEST_SECONDS = 10.0  #: CPU seconds of one test of a task that sets none
IMPORT_SECONDS = 10.0  #: CPU seconds of the import of a module
CALLS = 200_000  #: answers and calls in one test: a loop in the student's code may never end
NESTED_CALLS = 40  #: nested calls of a test's own functions: each takes a few of Python's frames
MIRRORS = 20_000  #: objects of the student that the judge knows at once
FREED = 100_000  #: objects that a worker is told to forget with one request

# --- how long the judge waits for a test -----------------------------------------------------------------------------
PATIENCE, GRACE_SECONDS = 4.0, 5.0  #: times its CPU seconds, plus these seconds: the machine may be busy
READING_SECONDS = 2.0  #: CPU seconds that the judge may read answers and make calls, beyond those of the test
ASLEEP_SECONDS = 3.0  #: seconds that a worker may sleep: an answer needs no sleep
WALL_SECONDS = 60.0  #: seconds of real time for one phase of a test: a test may hang in our own code
WALL_SECONDS_A_SECOND = 10.0  #: seconds more for each CPU second that the test may use
RUN_OVER = 2  #: tests in which a function goes over a budget, or ends its process; its others are not run
_CPU_SECONDS = 60.0  #: CPU seconds of a whole submission: it has many tests, and few of them are slow
_CPU_SECONDS_A_SECOND = 5.0  #: CPU seconds more for each second that one test of a task may use

# --- what is read and said about a submission ------------------------------------------------------------------------
SENTENCE_LETTERS = 500  #: characters of a student's text in a sentence
LINE_LETTERS = 1_000  #: characters of one sentence or name that is shown as it is
NAME_LETTERS = 80  #: characters of the name of a file in a parcel
COMPLAINTS = 20  #: complaints about one module that are shown
TREE_DEPTH = 200  #: levels of a syntax tree that are followed
BRACES_TIMES_BYTES = 400_000_000  #: braces times bytes: Python reads f-strings in a time that grows with both
COMPARED_LETTERS = 80_000  #: characters of a module that are compared with others: twice a long answer
COMPARED_SECONDS = 2.0  #: CPU seconds to take the fingerprints of one module; an ordinary one takes 0.1
CLASS_COMPARED_SECONDS = 300.0  #: CPU seconds for those of a class; modules after that are only named
FINGERPRINTS = 20_000_000  #: fingerprints of a class that are kept: as many as a thousand long answers have

# --- how long we wait for our own parts ------------------------------------------------------------------------------
ZYGOTE_SECONDS = 120.0  #: seconds until a zygote has imported everything
GOODBYE_SECONDS = 10.0  #: seconds until an examiner has ended
STARTS = 3  #: tries to start an examiner
LOCK_SECONDS = 60.0  #: seconds that another program may hold the gradebook, over a whole class
CLUSTER_SECONDS = 60  #: seconds until a cluster's scheduler answers, and until it has a first worker
CELL_SECONDS = 120  #: seconds of one cell of a lesson: the whole lesson runs in two minutes
PUBLIC_RUN_SECONDS = 600  #: seconds of one run of the public tests in a student's folder
LOOK_SECONDS = 120  #: seconds of the import of a module, and of nbgrader, in a student's folder


def submission_seconds(tasks: Iterable[float]) -> float:
    """Return the CPU seconds that a whole submission may use.

    Args:
        tasks: for each task, the CPU seconds that one of its tests may use
    """
    return _CPU_SECONDS + _CPU_SECONDS_A_SECOND * sum(tasks)


def worker_seconds(submission: float) -> int:
    """Return the CPU seconds after which the kernel ends a worker. The judge ends it earlier, with a sentence."""
    return math.ceil(submission) + 60
