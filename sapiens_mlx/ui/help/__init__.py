"""The tab Help: what the page says of itself."""
