"""Which deployment, in what order, why?"""
