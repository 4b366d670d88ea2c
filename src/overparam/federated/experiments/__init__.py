"""A simulation that a file describes, its comparison with others, and what is concluded.

1. `spec_file` reads and checks the file; `building` makes of it data, model and clients.
2. `one_run` is a run as plain data; `kept` keeps finished ones; `tuning` gives every algorithm as
   many trials.
3. `conclusions` says what came out, `federation` holds all of it.
"""

__all__ = []
