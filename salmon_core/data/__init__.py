"""Files of rows: JSON, YAML, Parquet, and the prompts in them."""
