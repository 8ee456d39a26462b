"""What the connections of clients have in common, on real sockets."""

from __future__ import annotations

import asyncio

from support.leaving import say_and_leave
from support.loops import Run

from lalmesh.client._link import ClientLink

HOST = "127.0.0.1"


class Player(ClientLink):
    """Plays bytes."""

    def __init__(self) -> None:
        super().__init__("play")
        self.played = b""
        self._start(None)

    def say(self, data: bytes) -> None:
        self._write(data)

    def _feed(self, data: memoryview) -> None:
        self.played += data

    def _flush(self) -> None:
        pass

    def _say_goodbye(self) -> None:
        pass


def test_the_last_of_a_server_that_left_is_taken_though_an_answer_to_it_fails_first(run: Run) -> None:
    async def work() -> None:
        came: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: came.put_nowait(writer), HOST, 0)
        _, player = await asyncio.get_running_loop().create_connection(Player, *server.sockets[0].getsockname())
        writer = await came.get()
        say_and_leave(writer, b"the last")
        for _ in range(2):  # the first is answered with a reset, the second ends the connection
            player.say(b"acknowledged")
        await player.wait_gone()
        assert player.played == b"the last"
        writer.close()
        server.close()

    run(work())
