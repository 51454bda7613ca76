"""Given a plan and what happened, what next?"""
