"""Faults under load, on real processes: nothing lost, nothing contradicted, and how long until it goes on.

`python -m tests.chaos` runs each fault in a world of its own; `python -m tests.chaos.soak` runs them minute
after minute in one. pytest collects neither.
"""
