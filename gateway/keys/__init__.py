"""Virtual keys: who asks, and who may. Read next: form.py, porter.py; locksmith.py for those made at run time."""
