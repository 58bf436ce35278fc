"""Readers for the files of other benchmarks, with the averages of their own code."""
