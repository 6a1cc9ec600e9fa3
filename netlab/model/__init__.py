"""The words that every room shares: records, tables, sequence numbers, ranges, errors. No I/O.

Read `tables` first: the eight tables are what netlab is about. `frame` and `call` are what the
witnesses hand in, `recording` is all of one recording's raw material, `seqnum` and `ranges` are the
arithmetic that nobody else may do by hand.
"""
