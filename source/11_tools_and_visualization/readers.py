"""Readers of the files that TensorBoard and Weights & Biases write. Given to you."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np


def read_events(directory):
    """Read everything of a folder that TensorBoard shows.

    Returns:
        scalars: tag -> list of (step, value)
        histograms: tag -> list of (step, count, sum, smallest, largest, sum of squares)
        images: tag -> list of (step, picture (H, W, 3) in [0, 1])
        hparams: name -> setting, of the last table of settings; None if there is none
    """
    from matplotlib.image import imread
    from tensorboard.backend.event_processing import event_accumulator as events
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    everything = dict.fromkeys(events.DEFAULT_SIZE_GUIDANCE, 0)
    found = events.EventAccumulator(str(directory), size_guidance=everything).Reload()
    tags = found.Tags()
    scalars = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags["scalars"]}
    histograms = {}
    for tag in tags["histograms"]:
        values = [(event.step, event.histogram_value) for event in found.Histograms(tag)]
        histograms[tag] = [(step, of.num, of.sum, of.min, of.max, of.sum_squares) for step, of in values]
    images = {}
    for tag in tags["images"]:
        pictures = [(event.step, imread(io.BytesIO(event.encoded_image_string), "png")) for event in found.Images(tag)]
        images[tag] = [(step, _in_colour(picture)) for step, picture in pictures]
    hparams = None
    if "_hparams_/session_start_info" in found.summary_metadata:
        content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        table = HParamsPluginData.FromString(content).session_start_info.hparams
        hparams = {name: getattr(value, value.WhichOneof("kind")) for name, value in table.items()}
    return scalars, histograms, images, hparams


def _in_colour(picture):
    picture = np.atleast_3d(picture)[:, :, :3]
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def in_order(directory, number):
    """Give the event files of a folder names in the order in which they were written.

    TensorBoard reads files in the order of their names, which begin with the second in which they were made.
    """
    for path in Path(directory).glob("events.out.tfevents.*"):
        if not path.name.startswith("events.out.tfevents.00"):
            path.rename(path.with_name(f"events.out.tfevents.{number:010d}.{path.name[20:]}"))


def read_run(directory):
    """Read the file of the last run that Weights & Biases wrote below a folder.

    It is a log in the format of LevelDB: blocks of 32 KiB with records, each of which is a message of
    `wandb.proto`. The name of the file ends with .wandb.

    Returns:
        run: project and name
        config: name -> setting
        history: list of rows, each a dict; "_step" is the step
        summary: name -> value
        exit_code: int, or None if the run was not finished
    """
    from wandb.proto.wandb_internal_pb2 import Record

    path = max(Path(directory).glob("**/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    run, config, history, summary, exit_code = {}, {}, [], {}, None
    for data in _records(path.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = {"project": record.run.project, "name": record.run.display_name}
            config |= _values(record.run.config.update)
        elif kind == "config":
            config |= _values(record.config.update)
        elif kind == "history":
            history.append({"_step": record.history.step.num} | _values(record.history.item))
        elif kind == "summary":
            summary |= _values(record.summary.update)
        elif kind == "exit":
            exit_code = record.exit.exit_code
    return run, {key: value for key, value in config.items() if key != "_wandb"}, history, summary, exit_code


def _values(items):
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def _records(data, block=32768):
    """Give the records of a log: a header of seven bytes in the file, and one of seven in front of each part."""
    at, parts = 7, []
    while at + 7 <= len(data):
        if block - at % block < 7:  # too small for a header: the rest of the block is empty
            at += block - at % block
            continue
        _crc, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []
