"""Processes and threads: what they share, what each costs, and what a crash takes with it."""
