"""Generated demo videos: a stick-and-capsule figure doing 52 actions, rendered in a minute, no download."""

from __future__ import annotations

from zsar_lab.demo.clip import render_clip
from zsar_lab.demo.videos import DemoSettings, demo_classes, make_demo_videos

__all__ = ["DemoSettings", "demo_classes", "make_demo_videos", "render_clip"]
