"""`pusher doctor`: what a config needs of the world, tried out."""
