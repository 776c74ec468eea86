"""How the demo weights were made: the renderer of drawn people and what trains on it."""
