"""Fragmented MP4: init segments and fragments of CMAF, as MSE, HLS and recordings have them (ISO/IEC 14496-12, 23000-19)."""

from __future__ import annotations

from lalmesh.container.fmp4._builder import FragmentBuilder
from lalmesh.container.fmp4._carried import (
    TrackCompleter,
    carried_tracks,
    carries,
    codecs_parameter,
    complete_track,
    is_carried,
    mime_type,
)
from lalmesh.container.fmp4._demux import MAX_MDAT_BYTES, MAX_MOOF_BYTES, MAX_MOOV_BYTES, Fmp4Demuxer
from lalmesh.container.fmp4._files import MAX_INDEX_ENTRIES, FileContents, FileEnd, FragmentedFile
from lalmesh.container.fmp4._fragments import MAX_FRAGMENT_BYTES, MAX_FRAGMENT_SAMPLES, TIME_OFFSET, Sample, fragment
from lalmesh.container.fmp4._gaps import MAX_SAMPLE_TICKS
from lalmesh.container.fmp4._index import RandomAccessEntry, mfra
from lalmesh.container.fmp4._init import init_segment
from lalmesh.container.fmp4._recovery import Read, file_contents, recover_file, whole_fragments_end

__all__ = [
    "MAX_FRAGMENT_BYTES",
    "MAX_FRAGMENT_SAMPLES",
    "MAX_INDEX_ENTRIES",
    "MAX_MDAT_BYTES",
    "MAX_MOOF_BYTES",
    "MAX_MOOV_BYTES",
    "MAX_SAMPLE_TICKS",
    "TIME_OFFSET",
    "FileContents",
    "FileEnd",
    "Fmp4Demuxer",
    "FragmentBuilder",
    "FragmentedFile",
    "RandomAccessEntry",
    "Read",
    "Sample",
    "TrackCompleter",
    "carried_tracks",
    "carries",
    "codecs_parameter",
    "complete_track",
    "file_contents",
    "fragment",
    "init_segment",
    "is_carried",
    "mfra",
    "mime_type",
    "recover_file",
    "whole_fragments_end",
]
