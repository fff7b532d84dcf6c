"""Student: what runs in a student's own folder, light and in one process: tests, words, hints, handing in."""
