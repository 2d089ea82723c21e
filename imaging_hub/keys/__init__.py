"""Keys: keyrings in files, and the chain of pseudonyms derived with them."""
