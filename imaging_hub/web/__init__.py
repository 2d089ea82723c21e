"""API and pages of the hub: the de-identified zone. Its database role cannot read an identity."""
