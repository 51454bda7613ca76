"""Tokens of an issuer (JWT, as of OIDC) in place of keys.

Read next: tokens.py, who a token stands for; token.py, claims.py and signatures.py, its steps; keyring.py, whose keys.
"""
