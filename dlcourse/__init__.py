"""What the lessons and suites of this deep-learning course share: data sets, the style of figures, spies, weights.

The engine in `autograder` knows nothing about it: another course has its own package, or none.
"""
