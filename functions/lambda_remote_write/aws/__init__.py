"""AWS as we call it: credentials, signatures, S3, and boto3 clients for discovery."""
