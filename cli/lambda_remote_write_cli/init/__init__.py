"""`pusher init`: a first config from one answer of an API."""
