"""What has come in and is not yet safe: spool, journal, and what becomes of each instance (identifying zone)."""
