"""The event loop: pollers, timers, and the reactor that runs both."""
