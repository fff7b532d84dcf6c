"""Late: what a late parcel loses; nbgrader asks this plugin and keeps the penalty apart from the score.

The policy is in nbgrader_config.py; without a policy nobody loses anything. `autograder due` sets due dates, and
`autograder extension` gives one student more time. A date may also be set in the formgrader (the pencil beside an
assignment) or with nbgrader's own commands, but then students do not read it.
"""

from __future__ import annotations

import math

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float

DAY = 24 * 60 * 60.0


class LatePolicy(LateSubmissionPlugin):  # type: ignore[misc]
    """Subtract points, or per cent of the score, for each day begun; with a grace period and a cap."""

    points_per_day = Float(0.0, min=0.0, help="Points lost for each day begun after the due date.").tag(config=True)
    percent_per_day = Float(
        0.0,
        min=0.0,
        max=100.0,
        help="Per cent of the reached score lost for each day begun after the due date.",
    ).tag(config=True)
    grace_minutes = Float(0.0, min=0.0, help="A parcel that is not later than this is on time.").tag(config=True)
    cap_percent = Float(
        100.0,
        min=0.0,
        max=100.0,
        help="The largest loss, in per cent of the reached score.",
    ).tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """Return the points that a parcel loses, or None. nbgrader's own `penalty_method` comes first."""
        stock = super().late_submission_penalty(student_id, score, total_seconds_late)
        if stock is not None:
            return float(stock)
        return (
            penalty(
                score,
                total_seconds_late,
                points=self.points_per_day,
                percent=self.percent_per_day,
                grace=60 * self.grace_minutes,
                cap=self.cap_percent,
            )
            or None
        )


def penalty(
    score: float, late: float, *, points: float, percent: float, grace: float = 0.0, cap: float = 100.0
) -> float:
    """Return what is lost of a score.

    Args:
        score: what was reached, in points
        late: seconds after the due date
        points: lost for each day begun
        percent: of the score, lost for each day begun, beside `points`
        grace: seconds within which a parcel is on time; a later one loses from the due date on
        cap: the most that can be lost, in per cent of the score
    """
    if late <= grace:
        return 0.0
    days = math.ceil(late / DAY)
    return min(days * (points + score * percent / 100), score * cap / 100)
