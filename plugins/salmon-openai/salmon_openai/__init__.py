"""Engine on OpenAI-compatible endpoints. Importing this package imports no HTTP client and no transformers."""
