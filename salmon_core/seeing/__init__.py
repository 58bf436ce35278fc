"""What the models of a run read, and what it made of them, for people to look at."""
