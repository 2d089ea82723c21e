"""Pseudonymisation in the identifying zone: from patients and their INS to subjects, through the third party."""
