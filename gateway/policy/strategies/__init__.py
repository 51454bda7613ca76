"""How a pool is put in order: one frozen class per strategy."""
