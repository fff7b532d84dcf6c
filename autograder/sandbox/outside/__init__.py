"""The trusted side of the wall: it asks, checks every answer, and decides."""
