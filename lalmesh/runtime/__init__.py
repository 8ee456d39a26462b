"""The shell that services share: configuration, logging, telemetry, life cycle, links, ownership, store interfaces."""
