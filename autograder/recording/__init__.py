"""Recording: Report -> nbgrader, which keeps marks, answers and feedback. Only it and release.py import nbgrader."""
