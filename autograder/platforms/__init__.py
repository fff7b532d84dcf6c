"""Platforms: marks and tests to where a school already works: Canvas, Moodle, Gradescope, GitHub Classroom."""
