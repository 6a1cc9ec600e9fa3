"""From the map to words: what the tables say of each call and frame. Pure functions, no I/O."""
