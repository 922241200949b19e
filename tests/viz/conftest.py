"""Fixtures that the tests of figures, tables and widgets share."""

from __future__ import annotations

import pytest
from seven_classes import catalog, embeddings, predictions, results  # noqa: F401

from zsar_lab.viz import projection
from zsar_lab.viz.projection import SpaceMap, shared_space_map


@pytest.fixture(scope="session")
def space(predictions, embeddings, tmp_path_factory) -> SpaceMap:  # noqa: F811
    """A map of the first two coordinates, in place of umap's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_umap", lambda points, seed: points[:, :2].astype(float))
        return shared_space_map(predictions, embeddings, tmp_path_factory.mktemp("map"))
