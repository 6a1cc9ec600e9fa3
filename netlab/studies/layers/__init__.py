"""What each layer adds."""
