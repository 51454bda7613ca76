"""Logins at providers that take more than a key: what each request of such an account carries.

Read next: credential.py, the interface; kept.py, which keeps what expires; make.py, which makes one of a Login.
"""
