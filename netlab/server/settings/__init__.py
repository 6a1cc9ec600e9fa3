"""What a server can be told: the options, what was asked, and what becomes of it here."""
