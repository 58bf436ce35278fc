"""Evaluators that any run can use."""
