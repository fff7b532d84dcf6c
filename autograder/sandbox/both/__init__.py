"""What both sides of the wall use: frames, values, random states."""
