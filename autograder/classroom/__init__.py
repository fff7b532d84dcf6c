"""What the reports of a class say together, as a page and as tables."""
