"""The kernel witness: calls, states and drops from tracefs tracepoints, for any process, as root.

formats (event descriptions) and pages (ring buffer) turn bytes into events; tracefs, instance and
guardian own what stands in the kernel; tracepoints and syscalls say what an event is; families
(processes and their names), places (which socket) and effects (what calls do to descriptors) make
calls of them, network the rest; witness puts them together. Nothing is compiled or loaded: the
kernel says itself how its events are laid out.
"""
