"""Rules of the loop, the host and the device: what they must report, and the same cured."""
