"""Windows spread all over a clip, read from its video when they are asked for: a frame store holds the centred one only."""

from __future__ import annotations

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.frames import TASK_COLUMNS, FrameStore
from zsar_lab.data.jobs import square_frames


class SpreadFrames:
    """The clips of a frame store, read like an array from their videos: `frames[row]` is uint8 [V, T, H, W, 3] in 0..255.

    Each of the V windows is chosen, resized and cropped as the store's one is, and lies where
    `window_instants` says. The middle one of an odd V shows the store's own frames. They are raw decodes,
    also where the store keeps JPEG. A file is opened when its row is asked for, once for all windows, by the
    thread that asks; nothing is kept.

    Args:
        catalog: that the store was made from; of joined stores, the joined one. The videos must lie under its
            root.
        store: says which clips, row by row, and n_frames (T), fps and size_px (H and W) of a window.
        windows: V, 1 or more.

    Raises:
        ValueError: windows below 1, or a clip of the store is none of the catalog's usable ones.
    """

    def __init__(self, catalog: Catalog, store: FrameStore, windows: int) -> None:
        if int(windows) != windows or windows < 1:
            raise ValueError(f"windows must be a whole number of 1 or more, got {windows}")
        usable = catalog.usable.set_index("id")
        missing = [clip_id for clip_id in store.ids if clip_id not in usable.index]
        if missing:
            raise ValueError(
                f"every clip of the frame store must be a usable one of the catalog, {len(missing)} are not (first {missing[0]!r}); "
                "give the catalog that the store was made from"
            )
        self.ids, self.root, self.settings, self.windows = (
            store.ids,
            catalog.root,
            store.settings,
            int(windows),
        )
        self.clips = usable.loc[store.ids, TASK_COLUMNS]
        size_px = store.settings.size_px
        self.shape, self.dtype = (
            (len(store), self.windows, store.settings.n_frames, size_px, size_px, 3),
            np.dtype(np.uint8),
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """The windows of a clip.

        Raises:
            ValueError: its video is gone, changed or damaged; the clip is named.
        """
        clip = self.clips.iloc[row].to_dict()
        try:
            frames = square_frames(
                clip | {"path": str(self.root / clip["path"])}, self.settings, self.windows
            )
        except (ValueError, OSError) as error:
            raise ValueError(
                f"the video of every clip must still be readable for spread windows, that of clip {self.ids[row]!r} is not ({error}); "
                "put the file back as it was cataloged, or embed with the centre view, which the frame store holds"
            ) from error
        return frames.reshape(self.shape[1:])
