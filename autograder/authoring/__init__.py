"""Authoring: one folder of assignments/ -> what students get, and the gates that it passes before they get it."""
