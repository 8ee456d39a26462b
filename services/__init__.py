"""The deployables: edge, origin, scheduler, and the command line. Private: import `lalmesh` instead."""
