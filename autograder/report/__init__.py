"""What an examination found: frozen data, and its output as JSON, text, HTML and CSV."""

from autograder.report.model import Isolation, Outcome, Report, TaskReport, TestResult, Told

__all__ = ["Isolation", "Outcome", "Report", "TaskReport", "TestResult", "Told"]
