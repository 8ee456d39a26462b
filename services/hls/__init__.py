"""The hls service: cuts streams into segments, stores them, and serves playlists and segments over HTTP."""
