"""The archive: de-identified objects stored by digest, and their index."""
