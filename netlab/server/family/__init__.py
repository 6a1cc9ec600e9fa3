"""The roles of modes base and process: master, manager, workers, and how they are led."""
