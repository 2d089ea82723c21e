"""Audit: the hash-chained trail of every action, and the search for a NIR outside the identifying zone."""
