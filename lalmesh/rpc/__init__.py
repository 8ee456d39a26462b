"""Code generated from `proto/`, and the converters between it and `lalmesh.media`."""
