"""`pusher iam`: what a config may do on AWS, as a policy and as parameters of the template."""
