"""Engine on vLLM, in a process of its own. Importing this package imports neither vLLM nor transformers."""
