"""How much memory a stage takes, estimated before anything runs: sizes of models, bytes, and GPUs that they fit.

Plugins say what their processes keep (`salmon_core.api.memory`); all formulas stand here, in bytes.
"""
