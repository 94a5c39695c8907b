"""Targets laid out as tiles: sorted by group, padded, ready to be folded."""

from dataclasses import dataclass

import numpy as np

from tfimportance._checks import Array

# Samples and targets in one tile (`target_tile` may double the targets). Large
# enough that the matrix product runs at full speed; the product of two tiles
# (4 or 8 MiB) is still in the last cache when the fold reads it. Sums run down
# its columns: were a row a power of two long, a column would fall into one set
# of the first cache.
SAMPLE_TILE = 1040
TARGET_TILE = 1024

# Samples that are read, copied to the device and scored together.
TILES_IN_BLOCK = 4
BLOCK = TILES_IN_BLOCK * SAMPLE_TILE


@dataclass(frozen=True)
class TargetTiles:
    """Targets sorted by group and padded to whole tiles.

    Attributes:
        vectors: `(tiles, tile, embedding_dim)`.
        weight: `(tiles, tile)`, 0 for padding.
        row: `(tiles, tile)` int64, the sample that a target is, or -1.
        group: `(tiles,)` int32; a tile belongs to one group.
        num_groups: Number of groups.
    """

    vectors: Array
    weight: Array
    row: Array
    group: Array
    num_groups: int


def tile_targets(
    vectors: Array,
    *,
    weight: Array | None = None,
    row: Array | None = None,
    group: Array | None = None,
    tile: int | None = None,
) -> TargetTiles:
    """Returns `(num_targets, embedding_dim)` vectors as tiles."""
    count = len(vectors)
    tile = target_tile(vectors.shape[1]) if tile is None else tile
    weight = np.ones(count) if weight is None else weight
    row = np.full(count, -1) if row is None else row
    group = np.zeros(count, np.int64) if group is None else group
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    tile = _even_tile(max(map(len, members)), tile)
    padded = [_pad_index(each, tile) for each in members]
    index = np.concatenate(padded).reshape(-1, tile)
    is_padding = index < 0
    return TargetTiles(
        vectors=np.where(is_padding[..., None], 0, vectors[index]),
        weight=np.where(is_padding, 0, weight[index]),
        row=np.where(is_padding, -1, row[index]),
        group=np.repeat(
            np.arange(len(members), dtype=np.int32),
            [len(each) // tile for each in padded],
        ),
        num_groups=len(members),
    )


def target_tile(embedding_dim: int) -> int:
    """Returns how many targets one tile holds at most."""
    # The longer the product, the less the fold waits for memory, and the more
    # it helps to prepare the samples for fewer products.
    return TARGET_TILE if embedding_dim < 128 else 2 * TARGET_TILE


def _even_tile(count: int, largest: int) -> int:
    """Returns a tile that pads the last of the tiles of `count` rows little."""
    num_tiles = -(-count // largest)
    return min(largest, -(-count // (32 * num_tiles)) * 32)


def _pad_index(index: Array, multiple: int) -> Array:
    """Returns `index` followed by -1 up to a whole number of tiles."""
    return np.pad(index, (0, -len(index) % multiple), constant_values=-1)
