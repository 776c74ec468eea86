"""Mathematics only: the networks as mlx.nn modules, channels last. No files, no pictures, no tasks."""
