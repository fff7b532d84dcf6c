"""What an examination found: frozen data, and its ways onto paper (JSON, text, HTML, CSV)."""

from autograder.report.model import Isolation, Outcome, Report, TaskReport, TestResult

__all__ = ["Isolation", "Outcome", "Report", "TaskReport", "TestResult"]
