"""A class: many submissions, on all cores or on a cluster."""
