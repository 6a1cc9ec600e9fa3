"""The wire between the lab's hosts: what it carries, what rules do to it, and what it notes."""
