"""Processing of studies and releases, by the only processes that see both zones."""
