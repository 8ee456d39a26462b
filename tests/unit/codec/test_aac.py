from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.aac import (
    CHANNELS,
    MAX_AU_BYTES,
    AdtsHeader,
    AudioSpecificConfig,
    Sbr,
    adts_header,
    parse_adts,
    silent_frame,
)
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

# ffmpeg 9: -f lavfi -i sine=frequency=440:sample_rate=48000 -ac N -c:a aac out.flv, the AAC sequence header behind its 2 bytes
STEREO = bytes.fromhex("119056e500")
SEVEN_ONE = bytes.fromhex("11e056e500")
# the same with -af "pan=quad|..." and "pan=6.1|...": layouts that only a program_config_element can tell
QUAD = bytes.fromhex("118004c4040021100c4c61766336332e312e31303256e500")
SIX_ONE = bytes.fromhex("118004c80900010884000c4c61766336332e312e31303256e500")
# ffmpeg 9: -f lavfi -i anullsrc=channel_layout=stereo:sample_rate=48000 -c:a aac -flags +bitexact out.adts, the first two frames
SILENT_ADTS = bytes.fromhex("fff14c8001bffc211004608c1cfff14c8001bffc211004608c1c")
LC_48K = AudioSpecificConfig(sample_rate_hz=48000, channel_configuration=2)

RATES = st.one_of(st.sampled_from([7350, 22050, 44100, 48000, 96000]), st.integers(1, (1 << 24) - 1))


@st.composite
def configs(draw: st.DrawFn) -> AudioSpecificConfig:
    config = AudioSpecificConfig(
        object_type=draw(st.sampled_from([1, 2, 3, 4])),
        sample_rate_hz=draw(RATES),
        channel_configuration=draw(st.sampled_from([number for number in CHANNELS if number])),
        frame_length=draw(st.sampled_from([1024, 960])),
        core_coder_delay=draw(st.none() | st.integers(0, (1 << 14) - 1)),
        sbr=draw(st.sampled_from(Sbr)),
    )
    if config.sbr in (Sbr.NOT_SIGNALLED, Sbr.ABSENT):
        return config
    return replace(config, extension_sample_rate_hz=draw(RATES), ps=draw(st.booleans()))


def test_a_stereo_configuration_of_ffmpeg_is_read() -> None:
    config = AudioSpecificConfig.parse(STEREO)
    assert (config.object_type, config.profile, config.sample_rate_hz, config.channels) == (2, "LC", 48000, 2)
    assert (config.sbr, config.samples_per_frame) == (Sbr.ABSENT, 1024)


@pytest.mark.parametrize(("data", "channels"), [(STEREO, 2), (SEVEN_ONE, 8), (QUAD, 4), (SIX_ONE, 7)])
def test_configurations_of_ffmpeg_come_out_as_they_went_in(data: bytes, channels: int) -> None:
    config = AudioSpecificConfig.parse(data)
    assert config.channels == channels
    assert config.serialize() == data


def test_the_program_config_element_keeps_its_comment() -> None:
    program = AudioSpecificConfig.parse(QUAD).program_config
    assert program is not None
    assert program.comment == b"Lavc63.1.102"


def test_two_bytes_are_enough_for_plain_lc() -> None:
    assert AudioSpecificConfig(sample_rate_hz=44100, channel_configuration=2).serialize() == bytes.fromhex("1210")


# §1.6.2.1: 00101 0111 0010 (22050 behind 0111) ext 0100 (44100) 00010 000 -> HE-AAC said first
def test_hierarchical_sbr_gives_the_rate_that_comes_out() -> None:
    config = AudioSpecificConfig.parse(bytes.fromhex("2b920800"))
    assert (config.profile, config.sample_rate_hz, config.output_sample_rate_hz) == ("HE-AAC", 22050, 44100)
    assert (config.sbr, config.samples_per_frame, config.signalled_object_type) == (Sbr.HIERARCHICAL, 2048, 5)


# §1.6.5: LC mono at 22050, 0x2b7, 00101, 1, 0100, 0x548, 1
def test_backward_compatible_parametric_stereo_gives_two_channels() -> None:
    config = AudioSpecificConfig.parse(bytes.fromhex("138856e5a54880"))
    assert (config.profile, config.sbr, config.channels, config.output_channels) == ("HE-AACv2", Sbr.BACKWARD_COMPATIBLE, 1, 2)
    assert (config.output_sample_rate_hz, config.signalled_object_type) == (44100, 29)


# Table 1.16: 11111 000111 is 32 + 7 = 39, ELD; 0011 48000; 0001 mono; frameLengthFlag 1
def test_an_escaped_object_type_is_read_and_its_own_part_kept() -> None:
    config = AudioSpecificConfig.parse(bytes.fromhex("f8e63000"))
    assert (config.object_type, config.profile, config.frame_length, config.sample_rate_hz) == (39, "ELD", 480, 48000)
    assert config.serialize() == bytes.fromhex("f8e63000")


# Table 1.18: samplingFrequencyIndex 15, then 0x00bb81 = 48001 Hz
def test_an_explicit_sample_rate_is_read() -> None:
    assert AudioSpecificConfig.parse(bytes.fromhex("17805dc090")).sample_rate_hz == 48001


@pytest.mark.parametrize("data", ["", "12", "1690", "1240", "1780000010", "1211", "1180"])
def test_a_broken_configuration_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        AudioSpecificConfig.parse(bytes.fromhex(data))


def test_xhe_aac_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        AudioSpecificConfig.parse(bytes.fromhex("f9463000"))


@given(configs())
def test_a_configuration_survives_the_round_trip(config: AudioSpecificConfig) -> None:
    assert AudioSpecificConfig.parse(config.serialize()) == config


@given(st.binary(max_size=40))
def test_any_bytes_give_a_configuration_or_a_documented_error(data: bytes) -> None:
    try:
        config = AudioSpecificConfig.parse(data)
    except (RemoteProtocolError, UnsupportedError):
        return
    assert AudioSpecificConfig.parse(config.serialize()) == config


def test_adts_of_ffmpeg_is_split_into_raw_frames() -> None:
    frames = parse_adts(SILENT_ADTS)
    assert [frame.payload for frame in frames] == [silent_frame(LC_48K)] * 2
    assert frames[0].header.config == LC_48K


def test_the_adts_header_is_byte_for_byte_that_of_ffmpeg() -> None:
    assert adts_header(LC_48K, 6) == SILENT_ADTS[:7]


def test_adts_with_a_crc_leaves_the_crc_out_of_the_frame() -> None:
    frames = parse_adts(bytes.fromhex("fff04c8001fffcabcd211004608c1c"))
    assert [frame.payload.hex() for frame in frames] == ["211004608c1c"]


def test_every_cut_of_an_adts_stream_inside_a_frame_is_refused() -> None:
    for end in [*range(1, 13), *range(14, 26)]:
        with pytest.raises(RemoteProtocolError):
            parse_adts(SILENT_ADTS[:end])


@pytest.mark.parametrize("header", ["fff17c8001bffc", "fff14c8000bffc", "fef14c8001bffc", "fff74c8001bffc"])
def test_a_broken_adts_header_is_refused(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        AdtsHeader.parse(bytes.fromhex(header))


def test_two_raw_data_blocks_in_one_adts_frame_are_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        parse_adts(bytes.fromhex("fff14c8001bffd211004608c1c"))


def test_an_adts_frame_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        parse_adts(SILENT_ADTS, max_au_bytes=5)
    with pytest.raises(LimitExceeded):
        adts_header(LC_48K, MAX_AU_BYTES + 1)


@pytest.mark.parametrize(
    "config",
    [replace(LC_48K, object_type=23), replace(LC_48K, sample_rate_hz=48001), replace(LC_48K, channel_configuration=11)],
)
def test_what_adts_cannot_carry_is_not_supported(config: AudioSpecificConfig) -> None:
    with pytest.raises(UnsupportedError):
        adts_header(config, 10)


@given(st.integers(0, MAX_AU_BYTES), st.sampled_from([1, 2, 3, 4]), st.integers(1, 7), st.sampled_from([8000, 44100, 96000]))
def test_an_adts_header_survives_the_round_trip(size: int, object_type: int, channels: int, rate: int) -> None:
    config = AudioSpecificConfig(object_type=object_type, sample_rate_hz=rate, channel_configuration=channels)
    header = AdtsHeader.parse(adts_header(config, size))
    assert (header.config, header.frame_bytes, header.raw_data_blocks) == (config, size + 7, 1)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_give_adts_frames_or_a_documented_error(data: bytes, synchronized: bool) -> None:
    try:
        frames = parse_adts(b"\xff\xf1" + data if synchronized else data)
    except (RemoteProtocolError, UnsupportedError):
        return
    assert sum(frame.header.frame_bytes for frame in frames) <= len(data) + 2


def test_silence_is_what_ffmpeg_makes_of_it() -> None:
    # ffmpeg 9: anullsrc through -c:a aac -flags +bitexact; decoding it gives 1024 zero samples at any rate
    assert silent_frame(replace(LC_48K, channel_configuration=1)).hex() == "01182007"
    assert silent_frame(LC_48K).hex() == "211004608c1c"


@pytest.mark.parametrize("config", [replace(LC_48K, object_type=1), replace(LC_48K, channel_configuration=6)])
def test_silence_is_only_for_lc_in_mono_and_stereo(config: AudioSpecificConfig) -> None:
    with pytest.raises(UnsupportedError):
        silent_frame(config)
