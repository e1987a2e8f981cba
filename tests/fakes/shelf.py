"""A cloud's inventory that holds the clusters it was given."""

from intercloud.errors import NotFound
from intercloud.model.server import Cluster


class Shelf:
    def __init__(self, *clusters: Cluster) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}

    def cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            raise NotFound(f"the shelf has no cluster {name!r}; it has: {', '.join(self._clusters) or 'none'}")
        return self._clusters[name]
