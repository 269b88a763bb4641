"""What a running extsync tells over HTTP: read only, on loopback unless it is told otherwise."""
