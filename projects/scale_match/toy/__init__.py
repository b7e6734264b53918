"""Drawn data sets for the quickstart and the tests."""
