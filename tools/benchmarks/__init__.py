"""The parts of tools/benchmark.py, one module for each subcommand."""
