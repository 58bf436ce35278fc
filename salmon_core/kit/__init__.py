"""For authors of plugins: what several of them need alike."""
