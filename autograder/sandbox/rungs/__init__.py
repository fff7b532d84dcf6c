"""Which isolation a machine offers, and what a worker may see of it."""
