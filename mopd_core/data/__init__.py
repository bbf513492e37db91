"""Prompt sources: `table` reads files and Hugging Face data sets; `order` says which rows a step uses."""
