"""The trusted third party (*tiers de confiance*): a process with its own database that maps tokens to subjects.

It has no access to the hub's database and keys; the hub reaches it through `pseudonymisation.third_party` only.
"""
