from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.ports import LOOPBACK

from lalmesh.rpc.lalmesh.v1 import media_pb2
from lalmesh.runtime.channels import TOKEN_HEADER, Channels, token_of

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
SERVICE = "test.Echo"
DEADLINE_S = 30.0
FAR_S = 0.15  #: halfway round the world


TAKEN = ("taken", "yes")  #: metadata of a call that is not refused


async def echo(request: media_pb2.UnitName, _context: Any) -> media_pb2.UnitName:
    return request


async def echo_each(requests: AsyncIterator[media_pb2.UnitName], context: Any) -> AsyncIterator[media_pb2.UnitName]:
    await context.send_initial_metadata((TAKEN,))
    async for request in requests:
        yield request


async def repeat(request: media_pb2.UnitName, _context: Any) -> AsyncIterator[media_pb2.UnitName]:
    for _ in range(3):
        yield request


READ, WRITE = media_pb2.UnitName.FromString, media_pb2.UnitName.SerializeToString
HANDLERS = grpc.method_handlers_generic_handler(
    SERVICE,
    {
        "One": grpc.unary_unary_rpc_method_handler(echo, READ, WRITE),
        "Repeat": grpc.unary_stream_rpc_method_handler(repeat, READ, WRITE),
        "Each": grpc.stream_stream_rpc_method_handler(echo_each, READ, WRITE),
    },
)


@contextlib.asynccontextmanager
async def served(channels: Channels) -> AsyncIterator[str]:
    server = channels.server()
    server.add_generic_rpc_handlers((HANDLERS,))
    port = channels.listen(server, LOOPBACK, 0)
    await server.start()
    try:
        yield f"{LOOPBACK}:{port}"
    finally:
        await server.stop(0)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, `FAR_S` later."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            await asyncio.sleep(FAR_S)
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def far_away(address: str) -> AsyncIterator[str]:
    """An address that leads to another, where everything takes `FAR_S` each way."""
    host, _, port = address.partition(":")
    carrying: list[asyncio.Task[None]] = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        carrying.extend(map(asyncio.create_task, (carry(reader, there[1]), carry(there[0], writer))))

    server = await asyncio.start_server(lead, LOOPBACK, 0)
    async with server:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*carrying)  # they end with the connections


def one(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/One",
        request_serializer=WRITE,
        response_deserializer=READ,
    )


async def ask(channel: grpc.aio.Channel, size_bytes: int = 0, metadata: tuple[tuple[str, str], ...] = ()) -> int:
    """One call each way; gives what came back."""
    answer = await one(channel)(media_pb2.UnitName(seq=7, publication=bytes(size_bytes)), timeout=DEADLINE_S, metadata=metadata)
    return int(answer.seq)


async def ask_for_many(channel: grpc.aio.Channel) -> list[int]:
    """One call that is answered with a stream; gives what came back."""
    call = channel.unary_stream(
        f"/{SERVICE}/Repeat",
        request_serializer=WRITE,
        response_deserializer=READ,
    )
    return [int(answer.seq) async for answer in call(media_pb2.UnitName(seq=7), timeout=DEADLINE_S)]


async def ask_each(channel: grpc.aio.Channel) -> list[int]:
    """A call that streams both ways, each message after the answer to the one before; gives what came back.

    Nothing is sent before the call is taken: a refusal that comes just as something is sent is an internal error to gRPC.
    """
    answered = asyncio.Event()

    async def requests() -> AsyncIterator[media_pb2.UnitName]:
        if TAKEN not in tuple(await call.initial_metadata()):
            await asyncio.Event().wait()  # the call has ended
        for seq in (1, 2, 3):
            answered.clear()
            yield media_pb2.UnitName(seq=seq)
            await answered.wait()

    method = channel.stream_stream(
        f"/{SERVICE}/Each",
        request_serializer=WRITE,
        response_deserializer=READ,
    )
    call = method(requests(), timeout=DEADLINE_S)
    answers = []
    async for answer in call:
        answers.append(int(answer.seq))
        answered.set()
    return answers


async def refusal(channel: grpc.aio.Channel) -> set[grpc.StatusCode]:
    codes = set()
    for asking in (ask(channel), ask_for_many(channel), ask_each(channel)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asking
        codes.add(caught.value.code())
    return codes


async def test_a_node_with_the_cluster_key_is_answered() -> None:
    async with served(Channels((KEY,))) as address, Channels((KEY,)).dial(address) as channel:
        assert await ask(channel) == 7
        assert await ask_for_many(channel) == [7, 7, 7]
        assert await ask_each(channel) == [1, 2, 3]


async def test_a_node_without_the_cluster_key_is_refused() -> None:
    async with served(Channels((KEY,))) as address:
        async with Channels((OTHER_KEY,)).dial(address) as channel:
            assert await refusal(channel) == {grpc.StatusCode.UNAUTHENTICATED}
        async with grpc.aio.insecure_channel(address) as channel:
            assert await refusal(channel) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_while_keys_rotate_old_and_new_nodes_understand_each_other() -> None:
    old, new = Channels((KEY, OTHER_KEY)), Channels((OTHER_KEY, KEY))
    for server, client in ((old, new), (new, old)):
        async with served(server) as address, client.dial(address) as channel:
            assert await ask(channel) == 7
    async with served(Channels((OTHER_KEY,))) as address, old.dial(address) as channel:
        assert await refusal(channel) == {grpc.StatusCode.UNAUTHENTICATED}  # rotation has ended there


async def test_a_token_is_shown_beside_other_metadata_and_is_not_the_key() -> None:
    assert KEY.hex() not in token_of(KEY)
    assert token_of(KEY) != token_of(OTHER_KEY)
    async with served(Channels((KEY,))) as address, grpc.aio.insecure_channel(address) as channel:
        assert await ask(channel, metadata=((TOKEN_HEADER, token_of(KEY)), ("traceparent", "x"))) == 7
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(channel, metadata=((TOKEN_HEADER, token_of(KEY)[:-1]),))
    async with served(Channels((KEY,))) as address, Channels((KEY,)).dial(address) as channel:
        assert await ask(channel, metadata=(("traceparent", "x"),)) == 7


async def test_a_method_that_is_not_there_is_said_to_be_so() -> None:
    async with served(Channels((KEY,))) as address, Channels((KEY,)).dial(address) as channel:
        call = channel.unary_unary("/test.Echo/None", request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=DEADLINE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_messages_are_bounded() -> None:
    channels = Channels((KEY,), max_message_bytes=1 << 20)
    async with served(channels) as address, Channels((KEY,)).dial(address) as channel:
        assert await ask(channel, (1 << 20) - 100) == 7
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, 1 << 20)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_port_in_use_is_an_os_error() -> None:
    async with served(Channels((KEY,))) as address:
        server = Channels((KEY,)).server()
        with pytest.raises(OSError, match="cannot listen"):
            Channels((KEY,)).listen(server, LOOPBACK, int(address.rpartition(":")[2]))


async def test_ipv6_addresses_are_listened_on() -> None:
    server = Channels((KEY,)).server()
    assert Channels((KEY,)).listen(server, "::1", 0) > 0


# mutual TLS


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def make_ca(folder: Path, name: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")


def make_certificate(folder: Path, name: str, ca: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    (folder / "san.cnf").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    signing = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", "san.cnf")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for ca in ("ours", "theirs"):
        make_ca(folder, ca)
        make_certificate(folder, f"node-{ca}", ca)
    return folder


def secured(folder: Path, *, node: str = "ours", ca: str = "ours", key: bytes = KEY) -> Channels:
    return Channels(
        (key,),
        ca_file=str(folder / f"{ca}.pem"),
        cert_file=str(folder / f"node-{node}.pem"),
        key_file=str(folder / f"node-{node}.key"),
    )


async def test_nodes_with_certificates_of_one_authority_understand_each_other(certificates: Path) -> None:
    nodes = secured(certificates)
    async with served(nodes) as address, nodes.dial(address) as channel:
        assert await ask(channel) == 7
        assert await ask_each(channel) == [1, 2, 3]


async def test_a_certificate_does_not_stand_for_the_cluster_key(certificates: Path) -> None:
    async with served(secured(certificates)) as address, secured(certificates, key=OTHER_KEY).dial(address) as channel:
        assert await refusal(channel) == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize(
    ("node", "ca"),
    [
        ("theirs", "ours"),  # the server refuses it
        ("ours", "theirs"),  # it refuses the server
    ],
)
async def test_a_certificate_of_another_authority_is_refused(certificates: Path, node: str, ca: str) -> None:
    async with served(secured(certificates)) as address, secured(certificates, node=node, ca=ca).dial(address) as channel:
        assert await refusal(channel) == {grpc.StatusCode.UNAVAILABLE}


async def test_a_node_without_tls_is_refused_where_tls_is_set_up(certificates: Path) -> None:
    async with served(secured(certificates)) as address, Channels((KEY,)).dial(address) as channel:
        assert await refusal(channel) == {grpc.StatusCode.UNAVAILABLE}


def test_a_certificate_that_cannot_be_read_is_an_os_error(certificates: Path) -> None:
    with pytest.raises(OSError):
        Channels((KEY,), ca_file=str(certificates / "none"), cert_file="none", key_file="none")
    with pytest.raises(OSError):
        Channels((KEY,), cert_file=str(certificates / "node-ours.pem"))


async def test_a_node_that_is_far_away_is_reached_at_the_first_try() -> None:
    channels = Channels((KEY,))
    async with served(channels) as near, far_away(near) as address, channels.dial(address) as channel:
        assert await ask(channel) == 7
