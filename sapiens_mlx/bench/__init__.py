"""Seconds and memory of a network on this machine, alone or in turns with another program's: the command `bench`.

measure.py is the way through; each network runs in a process of its own, ours.py and peer_*.py, which talk through
serve.py. arithmetic.py counts what a network has to compute and to move.
"""
