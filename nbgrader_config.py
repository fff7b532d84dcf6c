"""The settings of nbgrader for this course. What is set, and why, stands in autograder/recording/registrar.py.

Add your own below the call. No setting changes how marks are found (`c.Autograde...` has no effect). For example:

    c.Exchange.root = "/srv/nbgrader/exchange"
    c.CourseDirectory.db_url = "postgresql+psycopg2://user@host/name"  # with the extra postgres
    c.LatePolicy.points_per_day = 10  # what a late parcel loses for each day begun; nothing unless you say so
    c.LatePolicy.percent_per_day = 10  # or so much of the score that it reached
    c.LatePolicy.grace_minutes = 15
    c.LatePolicy.cap_percent = 50
"""

from pathlib import Path

try:
    from autograder.recording.registrar import configure
except ImportError as error:  # without it nbgrader would run students' code unprotected: stop
    raise SystemExit(f"{__file__}: cannot import autograder ({error}); run 'make setup', use .venv/bin") from error

c = get_config()  # noqa: F821 (nbgrader provides it)
configure(c, Path(__file__).resolve().parent)
