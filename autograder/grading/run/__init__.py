"""Run the suite of an assignment on one submission."""
