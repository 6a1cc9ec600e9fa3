"""View objects -> lines of styled text. rich is imported only to write to a real terminal."""
