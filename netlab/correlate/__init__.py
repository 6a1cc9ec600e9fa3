"""Packets and call records -> connections, segments, calls, spans, states, the byte ledger."""
