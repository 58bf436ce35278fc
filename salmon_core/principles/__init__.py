"""Principle sets in files, and draws of principles."""
