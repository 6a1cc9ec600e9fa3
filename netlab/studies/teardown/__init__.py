"""How connections end."""
