"""Connections without calls: why their frames came when they did."""
