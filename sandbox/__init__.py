"""AWS on a laptop: stand-ins that tests, the demo and local invokes talk to over loopback sockets."""
