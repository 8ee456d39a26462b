"""Publishers and players by the hundred, and what they meet: what the commands bench and delay do.

What is reckoned (`_reckoning`, `_matching`), read (`_http_reading`, `_websocket_reading`, `_talks`) and made (`_media`, `_tape`) knows
no socket and no clock; the shells around it (`_wire`, `_pacing`, `_sweep`) are made for the processor: bytes to send are made once for
all publishers, and what nobody looks at is thrown away inside the kernel.
"""
