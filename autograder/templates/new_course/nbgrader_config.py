"""The settings of nbgrader for this course.

`configure` lets the engine examine what students hand in; no setting changes how marks are found. Add your own settings
below. Three that many courses need are already there, behind a #.
"""

from pathlib import Path

try:
    from autograder.recording.registrar import configure
except ImportError as error:  # without it nbgrader would run students' code unprotected: stop
    raise SystemExit(f"{__file__}: cannot import autograder ({error}); install autograder[teacher]") from error

c = get_config()  # noqa: F821 (nbgrader provides it)
configure(c, Path(__file__).resolve().parent)

c.CourseDirectory.course_id = "COURSE_ID"  # students fetch and hand in under this name
# c.Exchange.root = "/srv/nbgrader/exchange"  # a folder that everybody may write to; the folder exchange/ if not set
# c.LatePolicy.points_per_day = 10  # what a late parcel loses for each day begun
# c.LatePolicy.grace_minutes = 15
