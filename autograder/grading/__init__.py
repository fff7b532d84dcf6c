"""Grading: a parcel -> a Submission -> a Report. Tests, solution and marks live here, student code does not."""
