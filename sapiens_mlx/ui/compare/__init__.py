"""The tab Compare levels: one photo at several sizes and levels, side by side."""
