"""One file a target: `once(data)` reads made-up bytes, and any exception but a SapiensError is a find. `seeds()` gives
sound ones to begin with, and `WORDS` what such files are made of."""
