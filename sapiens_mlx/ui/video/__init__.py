"""The tab Video: one task over a clip, as a video that plays."""
