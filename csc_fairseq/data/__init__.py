"""Audio on its way into the network: manifests, partial reads, mixing plans and the dataset that renders them."""
