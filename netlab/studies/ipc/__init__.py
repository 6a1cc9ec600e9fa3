"""Ways for two processes of one machine to talk."""
