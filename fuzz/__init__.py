"""Fuzzing of all that reads a stranger's bytes: see README.md beside this."""
