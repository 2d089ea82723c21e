"""The archive: de-identified objects under their digests, and the index that finds them."""
