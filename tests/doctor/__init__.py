"""What a machine has, and which judges can run on it."""
