"""The trusted third party (*tiers de confiance*): a process and a database of its own. Tokens in, random subjects out.

It knows no table, key or module of the hub; the hub reaches it through `pseudonymisation.third_party` only.
"""
