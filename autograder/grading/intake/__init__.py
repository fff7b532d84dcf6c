"""Take a parcel in: find the module that a student handed in."""
