"""How connections come about, and how they do not."""
