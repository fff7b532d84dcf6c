"""Loaded: nbgrader imports this module by name, in every course on a machine with this package.

The package installs etc/jupyter/nbgrader_config.json, which sets `Autograde.exporter_class` to the class below. So the
guard is installed before nbgrader's own converter starts, also in a course without our configuration.
"""

from __future__ import annotations

from nbconvert.exporters import NotebookExporter

from autograder.recording import guard


class GuardedExporter(NotebookExporter):  # type: ignore[misc]
    """nbconvert's own exporter, unchanged; a setting that names this class imports this module."""


guard.install()
