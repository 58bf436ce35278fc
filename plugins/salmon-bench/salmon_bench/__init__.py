"""`salmon bench`: which principles a reward model or a judge follows, where programs know the answer."""
