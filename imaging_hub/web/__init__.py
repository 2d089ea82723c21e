"""The hub's API and pages: the de-identified zone as people and programs see it. Cannot read an identity."""
