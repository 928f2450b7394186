"""The ingester: HTTP requests in, durable on disk before they are acknowledged, compressed objects on S3 out.

The way of the data is request → records → journal → chunk → sealed object → S3 → forgotten.
"""
