"""What a running server shows of itself."""
