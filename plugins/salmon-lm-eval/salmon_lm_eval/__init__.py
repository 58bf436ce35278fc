"""Evaluator on EleutherAI's LM Evaluation Harness. Importing this package does not import the harness."""
