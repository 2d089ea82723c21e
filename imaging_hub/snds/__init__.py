"""SNDS tables in the de-identified zone: loading with the mandatory filters, and linkage of subjects to persons."""
