# SPDX-License-Identifier: Apache-2.0
"""Captions and what they could be said of, against loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.sim.classes import CLASS_IDS, CLASSES, COLOUR_NAMES
from dinoiser_ros.training.demo.captions import (
    ENTITY_SHAPE,
    GENERIC,
    NO_COLOUR,
    SYNONYMS,
    compose,
    make_claim,
    truth,
    with_article,
)

TEMPLATES = ("a photo of a {}.",)
RED = COLOUR_NAMES.index("red")
ENTITY = st.tuples(st.integers(0, len(CLASSES) - 1), st.integers(0, NO_COLOUR))


@given(st.lists(ENTITY, min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_caption_is_true_of_what_it_was_made_for(entities, seed):
    caption = compose(np.random.default_rng(seed), entities, TEMPLATES)
    visible = np.zeros((1, *ENTITY_SHAPE), bool)
    for entity in entities:
        visible[(0, *entity)] = True
    assert truth(visible, [caption])[0, 0]
    assert len(caption.claims) == min(3, len(entities))
    assert all(claim.words in caption.text for claim in caption.claims)


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_truth_against_loops(seed):
    rng = np.random.default_rng(seed)
    visible = rng.random((5, *ENTITY_SHAPE)) < 0.03
    captions = [
        compose(rng, [(int(rng.integers(18)), int(rng.integers(12)))], TEMPLATES) for _ in range(7)
    ]
    result = truth(visible, captions)
    for r in range(5):
        for c, caption in enumerate(captions):
            holds = all(
                any(
                    visible[r, k, colour]
                    for k in claim.classes
                    for colour in (range(12) if claim.colour is None else (claim.colour, NO_COLOUR))
                )
                for claim in caption.claims
            )
            assert result[r, c] == holds


def test_colours_are_named_only_where_they_have_a_name():
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert make_claim(rng, CLASS_IDS["ball"], NO_COLOUR).colour is None
    named = [make_claim(rng, CLASS_IDS["ball"], RED) for _ in range(200)]
    assert {claim.colour for claim in named} == {None, RED}
    assert all(("red" in claim.words) == (claim.colour == RED) for claim in named)


def test_every_class_has_synonyms_and_generic_words_name_classes():
    assert set(SYNONYMS) == set(CLASSES)
    assert all(member in CLASSES for members in GENERIC.values() for member in members)


def test_articles():
    assert with_article("red ball") == "a red ball"
    assert with_article("orange box") == "an orange box"
    assert with_article("green grass") == "green grass"
