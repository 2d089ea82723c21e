"""SNDS tables of the de-identified zone: loaded with their mandatory filters, linked on a key we cannot make."""
