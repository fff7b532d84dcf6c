"""Bench: what a submission costs and which cheats work, here and with what others use."""
