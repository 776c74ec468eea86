"""The tab Studio: everything from one photo."""
