"""A configuration: its shape, its reading, and everything it names looked up."""
