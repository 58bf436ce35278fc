"""What every component of a kind keeps to: one class a kind, whose subclass in a test file is collected by pytest."""
