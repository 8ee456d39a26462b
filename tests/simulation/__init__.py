"""The whole cluster in one thread, under virtual time and a seeded network (docs/simulation.md)."""
