"""The longer commands of the command line, one file each. __main__.py is the door to them."""
