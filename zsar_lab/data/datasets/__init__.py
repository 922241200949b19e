"""The official annotation files of UCF101, HMDB51, Kinetics and ActivityNet, and where their videos lie on disk."""
