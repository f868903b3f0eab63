"""From a recording to a training batch: manifests, partial reads, mixing plans, rendering, datasets."""
