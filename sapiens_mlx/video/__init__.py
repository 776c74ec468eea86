"""Any task over a clip: frames are read one by one, go through the network, and come out as a video that plays."""
