"""Requests made to break the service, and what must hold of every answer.

`make fuzz` runs it for long; `test_fuzzing.py` runs a little of it with the other tests.
"""
