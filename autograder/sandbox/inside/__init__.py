"""What runs in the box, beside the student's code. Nothing that it says is believed."""
