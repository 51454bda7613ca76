"""What the default transport promises beyond the contract: what httpx2 does not let us see.

Read next: test_contract.py.
"""
