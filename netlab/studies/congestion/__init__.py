"""How much a sender sends before it hears anything, and how it learns how much that may be."""
