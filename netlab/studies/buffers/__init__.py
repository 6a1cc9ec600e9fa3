"""What lies between a call and the wire."""
