"""Fuzz: a whole FLV stream, split in two, demuxed and packaged again for every kind of player."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.container.flv import BodyDemuxer, BodyMuxer, TagReader
    from lalmesh.media import AccessUnit, TracksChanged, TrackSet
    from lalmesh.remux import FlvPackager, Parts, RtmpPackager, WebSocketFlvPackager


def target(data: bytes) -> None:
    reader, demuxer = TagReader(), BodyDemuxer()
    packagers = [
        FlvPackager(BodyMuxer()),
        WebSocketFlvPackager(BodyMuxer(hevc="legacy")),
        RtmpPackager(BodyMuxer(), chunk_size=128),
    ]
    tracks = TrackSet()
    for part in halves(data):
        for tag in reader.feed(part):
            for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
                parts: Parts = []
                for packager in packagers:
                    if isinstance(event, AccessUnit):
                        packager.package(event, tracks, parts)
                    elif isinstance(event, TracksChanged):
                        packager.change(tracks, event.tracks, 0, parts)
                if isinstance(event, TracksChanged):
                    tracks = event.tracks


fuzz(target)
