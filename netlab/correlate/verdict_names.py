"""The names of tshark's verdicts, in the order of their bits and columns."""

VERDICTS = (
    "retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order",
    "lost_segment", "ack_lost_segment", "duplicate_ack", "zero_window", "zero_window_probe",
    "zero_window_probe_ack", "window_full", "window_update", "keep_alive", "keep_alive_ack",
    "reused_ports", "tfo_syn", "tfo_ack", "tfo_ignored",
)  # fmt: skip
