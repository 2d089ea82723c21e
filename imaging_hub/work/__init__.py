"""The only place that sees both zones: it takes what came in to where it can be used."""
