"""Engine on Hugging Face transformers. Importing this package imports neither torch nor transformers."""
