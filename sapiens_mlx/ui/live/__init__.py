"""The tab Live: the newest frame of the camera, again and again."""
