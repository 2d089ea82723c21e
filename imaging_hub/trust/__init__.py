"""The trusted third party (*tiers de confiance*): a process with its own database that maps tokens to subjects.

It shares the code of `keys`, `audit`, `database`, `http`, `log`, `settings` and `errors` with the hub, and nothing
else: no table, no key, and no module that knows a patient or an image, as an import contract ensures. The hub reaches
it through `pseudonymisation.third_party_client` only.
"""
