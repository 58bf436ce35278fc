"""Plugins: found, their options checked, their components constructed."""
