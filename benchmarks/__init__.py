"""What a submission costs, here and with other tools, and how the cost of a class grows: see __main__.py."""
