"""What Intercloud writes on the things of a cloud, so that it, or any later process, knows them again."""

CLUSTER = "intercloud:cluster"
"""On a server: its cluster."""
HEALTH = "intercloud:health"
"""On a server: the URL that tells whether its cluster works."""
WAITS = "intercloud:waits"
"""On a server that holds a place: for what it waits. Until then its disk is not its own."""
FOR_CONTENT, FOR_MEMORY = "content", "memory"
BASE = "intercloud:base"
"""On a server: the digest of the image that its root disk lies over."""
OURS = "intercloud:"
"""What all of these begin with: nothing of it is the guest's business."""

DIGEST = "intercloud:digest:"
"""Begins an image's tag: the digest by which other clouds know it, where that is not the image service's own."""
CONTENT = "intercloud:content:"
"""Begins an image's tag: it is what that server's place will boot from."""
BLANK = "intercloud:blank"
"""Tag of the image that places are made from."""
READ = "intercloud_read"
"""Property of a snapshot that is read, and deleted then: the server's name.

Nova copies a snapshot's properties from the image of its server, but no tags: so whatever outlives a move is a tag.
"""
KEY = "intercloud:key="
"""Begins a network's tag: the key that it has between sites."""

ROOT = "root"
"""Name of the disk that a server boots from."""
