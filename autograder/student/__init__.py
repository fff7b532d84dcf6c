"""Student: what runs in a student's own folder, in one small process: tests, reports, hints, submission."""
