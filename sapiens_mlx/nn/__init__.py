"""Mathematics only: the networks as mlx.nn modules, channels last. No files, no pictures, no tasks.

Imports nothing but mlx, and NumPy where constants are made (rope.py) or the CPU is served (cpu.py, unpack.py), which
also asks how many processors there are (container.py) and keeps BLAS to one thread for a while (blas.py).
"""
