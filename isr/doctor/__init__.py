"""What this environment has, and which judges can run in it."""
