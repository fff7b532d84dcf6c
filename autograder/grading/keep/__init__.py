"""Keep reports and seeds, and know what a verdict follows from."""
