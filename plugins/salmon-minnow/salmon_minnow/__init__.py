"""The embedded world of salmon-core: a tiny policy, its prompts, and an oracle that reads off what it says."""
