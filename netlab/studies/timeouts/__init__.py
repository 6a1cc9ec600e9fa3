"""How long everybody waits, and who decides it."""
