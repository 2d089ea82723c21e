"""Encapsulated documents (PS3.3 §A.45): read, and written anew as a transcript."""
