"""Monitors for salmon-core: reward hacks seen while the run goes on."""
