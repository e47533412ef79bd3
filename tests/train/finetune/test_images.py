"""Images in records: the losses are transformers', and only what is text is learnt."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import redraft
from redraft.errors import DataError
from redraft.testing import byte_tokenizer, tiny_checkpoint, tiny_encoder, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.encode import ImageReader, RecordEncoder
from redraft.train.finetune.records import Conversation, RecordFile
from redraft.train.finetune.trainer import FinetuneTrainer
from redraft.train.forward import ForwardPasses


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> redraft.Model:
    folder = tmp_path_factory.mktemp("vision") / "model"
    return redraft.load(tiny_checkpoint(folder, 3, vision=tiny_encoder(), sliding_window=8))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def record_of(picture: str) -> Conversation:
    asked = [{"type": "text", "text": "what?"}, {"type": "image", "image": picture}]
    return Conversation([
        {"role": "user", "content": asked},
        {"role": "assistant", "content": "noise"},
        {"role": "user", "content": [{"type": "image", "image": picture}]},
        {"role": "assistant", "content": "again"},
    ])  # fmt: skip


def encoder_of(model: redraft.Model, **more: object) -> RecordEncoder:
    assert model.images is not None
    reader = ImageReader(model.processor.chat, model.images.features)
    return RecordEncoder(
        byte_tokenizer(images=True), model.chat_template, model.config, (106, 1), images=reader,
        **more,
    )  # fmt: skip


def test_an_image_stands_where_the_model_reads_it_and_is_not_learnt(
    model: redraft.Model, picture: str
) -> None:
    record = record_of(picture)
    canvas = encoder_of(model, last_turn_only=True).canvas(record, random.Random(0))
    asked = model.processor.chat(record.messages[:3])
    assert canvas.sequence[: canvas.start] == asked.tokens[: canvas.start]
    assert [(one.start, one.stop) for one in canvas.images] == [
        (one.start, one.stop) for one in asked.images
    ]
    assert model.images is not None
    for one, placed in zip(canvas.images, asked.images, strict=True):
        assert torch.equal(one.features, model.images.features(placed.image))
        assert not any(canvas.learnt[one.start : one.stop])
    first = encoder_of(model, max_length=canvas.images[1].start + 1)
    assert len(first.canvas(record, random.Random(0)).images) == 1


def test_states_behind_images_are_those_of_the_model(model: redraft.Model, picture: str) -> None:
    """The engine's own passes are held against transformers in tests/parity/test_vision.py."""
    network = model.network
    canvas = encoder_of(model).canvas(record_of(picture), random.Random(1))
    assert max(one.stop - one.start for one in canvas.images) > 8  # wider than the window
    cache = network.new_cache(len(canvas.sequence))
    whole = torch.tensor(canvas.sequence)
    with torch.no_grad():
        states = network.encode([whole], [cache], images=[canvas.images])[0]
        passes = ForwardPasses(network, dense_experts=False)
        # Another row of another length beside it.
        tokens = torch.stack((torch.cat((whole, whole[:4])), torch.zeros(len(whole) + 4).long()))
        found, past = passes.encode(tokens, images=[canvas.images, ()])
    torch.testing.assert_close(found[0, : len(whole)], states, atol=2e-5, rtol=1e-4)
    assert len(past) == model.config.num_hidden_layers


def test_a_run_with_images_learns_them(model: redraft.Model, picture: str, tmp_path: Path) -> None:

    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"messages": record_of(picture).messages}))
    data = RecordFile(path)
    config = FinetuneConfig(steps=2, batch_size=2, log_every=1)
    run = FinetuneTrainer(config, model.network, encoder_of(model), data, tmp_path / "run")
    assert all(row["loss"] > 0 for row in run.run())
    assert all(bool(one.isfinite().all()) for one in run.trained.values())


def test_without_an_image_encoder_an_image_is_refused(picture: str) -> None:
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    network = tiny_model(0, vocab_size=384)
    encoder = RecordEncoder(byte_tokenizer(), template, network.config, (106, 1))
    with pytest.raises(DataError, match=r"messages\[0\].content\[1\] is an image"):
        encoder.canvas(record_of(picture), random.Random(0))
