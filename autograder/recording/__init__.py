"""Recording: Report -> nbgrader, which keeps marks, answers and feedback. All that knows nbgrader is here."""
