"""The method in NumPy and the standard library: no file, no logger, no framework."""
