"""The tab Features: what the backbone sees, and what it finds alike."""
