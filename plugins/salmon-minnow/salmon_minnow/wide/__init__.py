"""The wide world: minnow's prompts and grammar, with more sentences in it, and 64 principles."""
