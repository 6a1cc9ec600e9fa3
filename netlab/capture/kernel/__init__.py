"""The kernel witness: calls, states and drops from tracefs tracepoints, for any process, as root.

formats (event descriptions) and pages (ring buffer) turn bytes into events; tracefs and instance
own what stands in the kernel; calls and network turn events into records; witness puts them
together. Nothing is compiled or loaded: the kernel says itself how its events are laid out.
"""
