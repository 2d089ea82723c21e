"""The trusted third party (*tiers de confiance*): a process and a database of its own. Tokens in, random subjects out.

It shares the code of `keys`, `audit`, `database`, `http`, `log`, `settings` and `errors` with the hub, and no more: no
table, no key, and no module that knows a patient or an image. An import contract holds it to that. The hub reaches it
through `pseudonymisation.third_party` only.
"""
