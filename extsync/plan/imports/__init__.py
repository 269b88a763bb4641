"""Import: hand-written Endpoints and slices become the manifest that publishes the same endpoints. Pure."""
