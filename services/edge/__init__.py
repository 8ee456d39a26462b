"""The edge: terminates every push and play protocol and fans out to players."""
