"""Keys: keyrings in files, and the chain of pseudonyms that they make."""
