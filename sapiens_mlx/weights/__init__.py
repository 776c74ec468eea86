"""From files to modules: where a checkpoint lies, what is in it, and how it is loaded or quantized."""
