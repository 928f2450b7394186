"""The operator: S3Sink manifests in, StatefulSets of ingesters out.

The folder above this package's source, ``operator/``, never holds an ``__init__.py``: a package named
``operator`` would shadow the standard library's and break every import.
"""
