"""Patches one pair of images with every setting of every peer, and decodes each of them again.

Started by `cargo xtask bench update` in a virtual environment that holds the peers. The first argument is a pair as
JSON: `{"old": PATH, "new": PATH, "formats": [NAME], "elf": [PATH, PATH] or null, "sections": {NAME: NUMBER} or null}`.
Each line of the output is one setting: `{"name": NAME, "bytes": NUMBER}`. A setting that its own program cannot make or
decode is left out and named on standard error. A patch that decodes to another image ends the program with a failure.
"""

import io
import json
import lzma
import subprocess
import sys
import tempfile
from pathlib import Path

import bsdiff4
import detools
import hdiffpatch
from detools.common import compression_string_to_number
from detools.create import create_compressor, pack_header
from elftools.elf.elffile import ELFFile

# Window and look-ahead in bits. Decoders of the small ones fit a microcontroller; the larger ones are there so that nothing is missed.
HEATSHRINK = [(8, 7), (8, 4), (9, 5), (10, 4), (10, 6), (11, 4), (11, 7), (12, 5), (14, 5)]
COMPRESSIONS = ["lzma", "crle", "bz2", "zstd", "lz4"]
MATCH_SCORES = [0, 2, 4, 6]
MATCH_BLOCK_SIZES = [8, 64]
SMALL_LZMA = [(lc, pb) for lc in (0, 1, 3) for pb in (0, 1, 2)]
XDELTA = [["-S", name] for name in ("lzma", "djw", "fgk", "none")]

# What detools calls a patch of one stream.
STREAM_TYPES = {"sequential": 0, "hdiffpatch": 2}


def accept(name, size, decode, new):
    """Prints the setting if it holds; false if it cannot be decoded."""
    try:
        decoded = decode()
    except Exception as error:  # What a peer raises is not ours to list.
        print(f"left out: {name}: {error!r}", file=sys.stderr)
        return False
    if decoded != new:
        sys.exit(f"{name} did not decode to the new image")
    print(json.dumps({"name": name, "bytes": size}), flush=True)
    return True


def detools_streams(pair):
    """Uncompressed patches of detools by name: (patch type, header behind the first byte, stream)."""
    plain = [("seq", {"patch_type": "sequential"})]
    for form in pair["formats"]:
        plain.append((f"seq-{form}", {"patch_type": "sequential", "data_format": form}))
        for source, sections in [("elf", elf_sections(pair)), ("sections", pair["sections"])]:
            if sections:
                settings = {"patch_type": "sequential", "data_format": form, **sections}
                plain.append((f"seq-{form}-{source}", settings))
    for score in MATCH_SCORES:
        settings = {"patch_type": "hdiffpatch", "algorithm": "hdiffpatch", "match_score": score}
        plain.append((f"hdiff-{score}", settings))
    for size in MATCH_BLOCK_SIZES:
        for kind in STREAM_TYPES:
            settings = {"patch_type": kind, "algorithm": "match-blocks", "match_block_size": size}
            plain.append((f"blocks-{kind}-{size}", settings))
    for name, settings in plain:
        made = io.BytesIO()
        with open(pair["old"], "rb") as ffrom, open(pair["new"], "rb") as fto:
            try:
                detools.create_patch(ffrom, fto, made, compression="none", **settings)
            except Exception as error:  # As in `accept`.
                print(f"left out: detools {name}: {error!r}", file=sys.stderr)
                continue
        patch = made.getvalue()
        length = 1 + number_length(patch[1:])
        if settings["patch_type"] == "hdiffpatch":
            length += number_length(patch[length:])
        yield name, STREAM_TYPES[settings["patch_type"]], patch[1:length], patch[length:]


def number_length(encoded):
    return next(index for index, byte in enumerate(encoded) if not byte & 0x80) + 1


def elf_sections(pair):
    if not pair["elf"]:
        return None
    found = {}
    for side, elf, image in zip(("from", "to"), pair["elf"], (pair["old"], pair["new"])):
        try:
            values = detools.data_format_from_files(f"--{side}-elf-offset", elf, image, None)
        except detools.Error:
            # It takes the largest block of objects for data, which may be zeroed RAM that is not in the image.
            values = sections_by_name(elf, image)
        if not values:
            return None
        names = ["data_offset_begin", "data_offset_end", "code_begin", "code_end", "data_begin", "data_end"]
        found.update({f"{side}_{name}": value for name, value in zip(names, values)})
    return found


def sections_by_name(elf, image):
    with open(elf, "rb") as file:
        text, constants = (ELFFile(file).get_section_by_name(name) for name in (".text", ".rodata"))
        if not text or not constants:
            return None
        offset = Path(image).read_bytes().find(constants.data())
        ranges = [(section["sh_addr"], section["sh_addr"] + section["sh_size"]) for section in (text, constants)]
        return None if offset < 0 else (offset, offset + constants["sh_size"], *ranges[0], *ranges[1])


def run_detools(old, new, pair):
    def apply(patch):
        decoded = io.BytesIO()
        detools.apply_patch(io.BytesIO(old), io.BytesIO(patch), decoded)
        return decoded.getvalue()

    settings = [(form, form, 8, 7) for form in COMPRESSIONS]
    settings += [(f"heatshrink-{w}-{l}", "heatshrink", w, l) for w, l in HEATSHRINK]
    for name, kind, sizes, stream in detools_streams(pair):
        plain = pack_header(kind, compression_string_to_number("none")) + sizes
        if not accept(f"detools {name} none", len(plain + stream), lambda: apply(plain + stream), new):
            continue
        for label, form, window, lookahead in settings:
            compressor = create_compressor(form, window, lookahead)
            body = compressor.compress(stream) + compressor.flush()
            patch = pack_header(kind, compression_string_to_number(form)) + sizes + body
            accept(f"detools {name} {label}", len(patch), lambda: apply(patch), new)
        # The same stream through LZMA as small as a device could have it, without a header of its own.
        for lc, pb in SMALL_LZMA:
            filters = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4096,
                        "lc": lc, "lp": 0, "pb": pb}]
            body = lzma.compress(stream, lzma.FORMAT_RAW, filters=filters)
            again = lzma.decompress(body, lzma.FORMAT_RAW, filters=filters)
            size = len(plain) + len(body)
            accept(f"detools {name} raw LZMA 4 KiB lc{lc} pb{pb}", size, lambda: apply(plain + again), new)


def run_bsdiff4(old, new):
    patch = bsdiff4.diff(old, new)
    accept("bsdiff4", len(patch), lambda: bsdiff4.patch(old, patch), new)


def run_hdiffpatch(old, new):
    forms = [(name, name) for name in ("none", "zlib", "bzip2", "zstd", "lz4hc", "lzham")]
    forms += [(f"lzma {size}", hdiffpatch.LzmaConfig(window=size)) for size in (12, 15, 23)]
    forms += [(f"lzma2 {size}", hdiffpatch.Lzma2Config(window=size)) for size in (12, 23)]
    forms += [(f"tuz {size}", hdiffpatch.TuzConfig(dict_size=1 << size)) for size in (10, 12, 15, 24)]
    forms += [(f"tamp {size}", hdiffpatch.TampConfig(window=size)) for size in (8, 10, 12, 15)]
    forms += [(f"brotli {size}", hdiffpatch.BrotliConfig(level=11, window=size)) for size in (12, 16, 24)]
    lite = hdiffpatch.diff_lite(old, new)
    full = hdiffpatch.diff(old, new, compression="none")
    for label, form in forms:
        patch = hdiffpatch.recompress_lite(lite, form)
        accept(f"hpatchlite {label}", len(patch), lambda: hdiffpatch.apply_lite(old, patch), new)
        patch = hdiffpatch.recompress(full, form)
        accept(f"hdiffpatch {label}", len(patch), lambda: hdiffpatch.apply(old, patch), new)


def run_xdelta3(new, pair):
    with tempfile.TemporaryDirectory() as folder:
        patch, decoded = Path(folder, "patch"), Path(folder, "decoded")
        for setting in XDELTA:
            # No checksum and no names of files: ours has neither.
            options = ["-9", "-n", "-A", *setting]
            subprocess.run(["xdelta3", "-e", "-f", *options, "-s", pair["old"], pair["new"], patch], check=True)
            subprocess.run(["xdelta3", "-d", "-f", "-s", pair["old"], patch, decoded], check=True)
            accept(f"xdelta3 {' '.join(setting)}", patch.stat().st_size, decoded.read_bytes, new)


def main():
    pair = json.loads(sys.argv[1])
    old, new = Path(pair["old"]).read_bytes(), Path(pair["new"]).read_bytes()
    run_detools(old, new, pair)
    run_bsdiff4(old, new)
    run_hdiffpatch(old, new)
    run_xdelta3(new, pair)


main()
